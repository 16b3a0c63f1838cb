# Installs one R package, and what it needs that is not there, from CRAN into a library.
# Ends with status 3 when CRAN does not answer or has no such version.
#   Rscript install_from_cran.R name version library
arguments <- commandArgs(trailingOnly = TRUE)
name <- arguments[[1]]
version <- arguments[[2]]
library <- arguments[[3]]

repos <- getOption("repos")
if (length(repos) == 0 || "@CRAN@" %in% repos) {
  utils::chooseCRANmirror(graphics = FALSE, ind = 1, local.only = TRUE)
}

options(timeout = 15)
offered <- tryCatch(
  suppressWarnings(utils::available.packages()),
  error = function(e) matrix(character(), 0, 2, dimnames = list(NULL, c("Package", "Version")))
)
if (!name %in% rownames(offered) || package_version(offered[name, "Version"]) < version) {
  message("CRAN does not answer, or has no ", name, " ", version)
  quit(status = 3)
}

options(timeout = 600)
utils::install.packages(name, lib = library)
if (!dir.exists(file.path(library, name))) quit(status = 1)
