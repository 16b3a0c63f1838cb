# The Python module: the packages that it needs, and which py_layernorm serves, the one of the
# Python in use or the one inside this package.

#' The folder that holds the module inside this package
#' @noRd
bundled <- function() {
  path <- getNamespaceInfo("layernorm", "path")
  Find(dir.exists, file.path(path, c("python", "inst/python")))
}

#' Choose the module, and put its folder on Python's path
#'
#' Before anything can import it: when Python starts, or when this package is loaded if Python runs.
#' @return What `choose()` in py_layernorm/r/choice.py returns, as a list of strings.
#' @noRd
choose_module <- function() {
  if (is.null(the$module)) {
    choice <- reticulate::import("runpy")$run_path(choice_file())
    the$module <- choice$choose(bundled())
  }
  the$module
}

choice_file <- function() file.path(bundled(), "py_layernorm", "r", "choice.py")

#' What `choose_module()` would choose in a Python that does not run; `NULL` if it cannot be asked
#' @noRd
planned_module <- function(python) {
  run <- run_program(python, c(choice_file(), bundled()))
  if (run$status == 0) {
    fields <- strsplit(run$out, "\t", fixed = TRUE)
    lapply(stats::setNames(fields, vapply(fields, `[`, "", 1)), function(f) c(f[-1], "")[1])
  }
}

#' The module that serves, or would
#' @noRd
module_of <- function(plan) {
  if (plan$started) choose_module() else if (!is.null(plan$path)) planned_module(plan$path)
}

#' Have reticulate ask for packages before it starts Python, and choose the module when it does
#'
#' The module is imported together with Keras, so that Keras finds the layer in any file it loads.
#' An error in a hook must not stop Python, or Keras: our first call raises it.
#' @noRd
follow_python <- function() {
  import_module <- function() try(reticulate::import("py_layernorm"), silent = TRUE)
  setHook("reticulate::keras::load", import_module)
  if (reticulate::py_available(initialize = FALSE)) {
    choose_module()
    if (reticulate::py_eval("'keras' in __import__('sys').modules")) import_module()
    return(invisible())
  }
  # An environment that reticulate creates holds what has been asked for before Python starts.
  before <- getOption("reticulate.python.beforeInitialized")
  options(reticulate.python.beforeInitialized = function() {
    ask_for_packages()
    if (is.function(before)) before()
  })
  setHook("reticulate.onPyInit", function() try(choose_module(), silent = TRUE))
}

#' Ask reticulate for the Python packages that nobody has asked for yet
#'
#' As late as possible: keras3 asks for tensorflow-cpu where there is no GPU, or for another
#' backend, and two builds of TensorFlow would overwrite each other.
#' @noRd
ask_for_packages <- function() {
  missing <- missing_packages(reticulate::py_require()$packages)
  if (length(missing) > 0) reticulate::py_require(missing)
}

# As in pyproject.toml.
requirements <- c(keras = "keras>=3.12", tensorflow = "tensorflow>=2.18")

missing_packages <- function(asked, backend = Sys.getenv("KERAS_BACKEND", "tensorflow")) {
  names <- tolower(sub("^\\s*([A-Za-z0-9._-]+).*", "\\1", asked))
  builds <- "^(tensorflow|tf)([-_](cpu|gpu|nightly|rocm|intel|macos).*)?$"
  unname(c(
    if (!"keras" %in% names) requirements["keras"],
    if (!any(grepl(builds, names)) && backend %in% c("", "tensorflow")) requirements["tensorflow"]
  ))
}
