.onLoad <- function(libname, pkgname) {
  if (nzchar(Sys.getenv("_R_CHECK_PACKAGE_NAME_"))) keep_to_cran_rules()
  follow_python()
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
