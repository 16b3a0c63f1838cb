#' Choose the engine
#'
#' @param name One of `"auto"` (the default: the fastest engine that can serve), `"fused"` (the
#'   native operation for CPUs) and `"portable"` (standard Keras operations).
#' @param code Missing, or code to run with that engine.
#'
#' @return Without `code`, the name of the previous engine, invisibly; the choice holds until the
#'   next one. With `code`, its value; the previous engine is restored afterwards, even if `code`
#'   fails.
#'
#' @section Errors:
#' Any other `name` is an error of class `layernorm_argument_error`, raised before Python starts. An
#' engine that cannot run on this machine is an error from Python that says why.
#'
#' @references `use_engine()` in the Python module `py_layernorm`, which does the work.
#' @export
#' @examplesIf layernorm:::has_keras()
#' use_engine("portable", layer_norm(matrix(c(1, 2, 30, 50), 2, byrow = TRUE)))
#'
#' before <- use_engine("portable")
#' use_engine(before)
use_engine <- function(name, code) {
  engines <- c("auto", "fused", "portable")
  if (!is_string(name) || !name %in% engines) {
    abort_argument(
      "name", "\"auto\", \"fused\" or \"portable\"", name, "Write `use_engine(\"auto\")`."
    )
  }
  setting <- call_python("use_engine", list(name = name))
  if (missing(code)) {
    return(invisible(setting$previous))
  }
  on.exit(call_python("use_engine", list(name = setting$previous)))
  code
}

#' @rdname use_engine
#' @return `get_engine()` returns the name of the chosen engine.
#' @export
get_engine <- function() call_python("get_engine", list())
