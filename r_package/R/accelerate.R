#' Make a model's layer normalisations fast, in place, and undo it
#'
#' `accelerate()` makes every Keras layer normalisation in `model` one of this package's;
#' `restore()` makes them Keras's own again. The layers stay the same objects, with the same
#' weights, names and place in the graph, and the optimizer keeps its state; layers within nested
#' models and within composite layers are reached too. What Keras had compiled for training and
#' prediction is made anew at its next use.
#'
#' A saved model that was restored loads where the Python module is not installed. Way in for a
#' saved model of Keras's own: `accelerate()` what `load_model()` returns.
#'
#' XLA cannot run the native op. Keras compiles for XLA if told to, and by default where it sees a
#' GPU or is older: `model$compile(jit_compile = FALSE)` has the fused engine in any case.
#'
#' @param model A Keras model, built or not.
#'
#' @return A list that prints as a short report: `changed`, the paths of the
#'   layers that changed; `left`, named by path, why others were left (`rms_scaling`, `param_axis`,
#'   a subclass with code of its own, or an `axis` that mixes signs, for which Keras orders `gamma`
#'   wrongly); and `note`, what else there is to say, or `""`.
#'
#' @section Errors:
#' An R value is an error of class `layernorm_argument_error`, raised before Python starts; a Python
#' object that is no Keras model is a `TypeError`. After any failure the model is as it was.
#'
#' @references `accelerate()` and `restore()` of the Python module `py_layernorm`, which do the
#'   work.
#' @seealso [layer_layer_normalization()], [use_engine()]
#' @export
#' @examplesIf layernorm:::has_py_layernorm()
#' keras <- reticulate::import("keras")
#' layers <- list(keras$Input(list(4L)), keras$layers$LayerNormalization(name = "norm"))
#' model <- keras$Sequential(layers)
#' accelerate(model)
#' restore(model)
accelerate <- function(model) change_layers(model, "accelerate")

#' @rdname accelerate
#' @export
restore <- function(model) change_layers(model, "restore")

change_layers <- function(model, name) {
  if (!is_python(model)) {
    abort_argument("model", "a Keras model", model, advise_model(model))
  }
  report <- call_python(name, list(model = model))
  structure(
    list(
      changed = as.character(unlist(report$changed)),
      left = unlist(report$left),
      note = report$note,
      text = report$`__str__`()
    ),
    class = "layernorm_report"
  )
}

#' @export
print.layernorm_report <- function(x, ...) {
  cat(x$text, sep = "\n")
  invisible(x)
}
