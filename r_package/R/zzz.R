.onLoad <- function(libname, pkgname) {
  if (nzchar(Sys.getenv("_R_CHECK_PACKAGE_NAME_"))) keep_to_cran_rules()
  # Only notes the requirement. With Python running it could download, so then it is left out.
  if (!reticulate::py_available(initialize = FALSE)) {
    reticulate::py_require(requirement)
  }
}

#' In `R CMD check` nothing is downloaded, and no file is left in the home folder
#'
#' A newer reticulate otherwise makes an environment of its own even there; Keras writes its
#' settings to the home folder when it is imported, and matplotlib, which reticulate sets up where
#' it is installed, a list of fonts.
#' @noRd
keep_to_cran_rules <- function() {
  Sys.setenv(RETICULATE_USE_MANAGED_VENV = "no")
  if (!nzchar(Sys.getenv("KERAS_HOME"))) Sys.setenv(KERAS_HOME = tempfile("keras"))
  if (!nzchar(Sys.getenv("MPLCONFIGDIR"))) Sys.setenv(MPLCONFIGDIR = tempfile("matplotlib"))
}
