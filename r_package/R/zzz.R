.onLoad <- function(libname, pkgname) {
  # Only notes the requirement. With Python running it could download, so then it is left out.
  if (!reticulate::py_available(initialize = FALSE)) {
    reticulate::py_require(requirement)
  }
}
