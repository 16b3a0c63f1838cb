.onLoad <- function(libname, pkgname) {
  if (nzchar(Sys.getenv("_R_CHECK_PACKAGE_NAME_"))) keep_to_cran_rules()
  # This only records the requirement. With Python running it could download, so it is skipped.
  if (!reticulate::py_available(initialize = FALSE)) {
    reticulate::py_require(requirement)
  }
}

#' Download nothing in `R CMD check`, and leave no files in the home folder
#'
#' Otherwise a newer reticulate would create an environment even there; Keras writes its settings
#' to the home folder when it is imported, and so does matplotlib, which reticulate sets up where it
#' is installed, with a list of fonts.
#' @noRd
keep_to_cran_rules <- function() {
  Sys.setenv(RETICULATE_USE_MANAGED_VENV = "no")
  if (!nzchar(Sys.getenv("KERAS_HOME"))) Sys.setenv(KERAS_HOME = tempfile("keras"))
  if (!nzchar(Sys.getenv("MPLCONFIGDIR"))) Sys.setenv(MPLCONFIGDIR = tempfile("matplotlib"))
}
