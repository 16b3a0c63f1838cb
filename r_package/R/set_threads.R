#' Set the number of threads
#'
#' Sets how many threads one call of the fused engine uses at most, in the whole process, from the
#' next call on. Results do not depend on the number. Otherwise the environment variable
#' `PY_LAYERNORM_THREADS` decides, then TensorFlow's own setting, then the number of processors that
#' the process may use.
#'
#' @param threads A whole number from 1 to 256.
#'
#' @return `NULL`, invisibly.
#' @section Errors:
#' Anything but a whole number is an error of class `layernorm_argument_error`, raised before Python
#' starts. A number out of range is a `ValueError` from Python.
#'
#' @references `set_threads()` in the Python module `py_layernorm`, which does the work.
#' @seealso [use_engine()]
#' @export
#' @examplesIf layernorm:::has_keras()
#' set_threads(2)
set_threads <- function(threads) {
  whole <- if (length(threads) == 1) as_whole(threads)
  if (is.null(whole)) {
    abort_argument(
      "threads", "one whole number from 1 to 256", threads, "Write `set_threads(2)`."
    )
  }
  invisible(call_python("set_threads", list(threads = whole)))
}
