# Prints "name version", one to a line, for every R package that is asked for and cannot be
# loaded at that version or newer.
#   Rscript missing_r_packages.R r_package/DESCRIPTION [name ...]
arguments <- commandArgs(trailingOnly = TRUE)

imports <- read.dcf(arguments[[1]], fields = "Imports")[[1]]
imports <- trimws(strsplit(if (is.na(imports)) "" else imports, ",", fixed = TRUE)[[1]])

# "reticulate (>= 1.41)": the name, and the version or 0
name <- sub("[^[:alnum:].].*", "", imports)
version <- ifelse(
  grepl(">=", imports, fixed = TRUE),
  sub(".*>=[[:space:]]*([0-9.-]+).*", "\\1", imports),
  "0"
)
others <- setdiff(arguments[-1], name)
name <- c(others, name)
version <- c(rep("0", length(others)), version)

is_there <- function(name, version) {
  suppressWarnings(suppressMessages(requireNamespace(name, quietly = TRUE))) &&
    utils::packageVersion(name) >= version
}

missing <- !mapply(is_there, name, version)
cat(sprintf("%s %s\n", name[missing], version[missing]), sep = "")
