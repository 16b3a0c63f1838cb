#' Speed up the layer normalisations of a model, in place, and undo it
#'
#' `accelerate()` turns every Keras layer normalisation in `model` into one of this package's;
#' `restore()` turns them back. The layers remain the same objects, with the same weights, names and
#' place in the graph, and the optimizer keeps its state. Layers inside nested models and composite
#' layers are included. Keras rebuilds its compiled training and prediction functions at their next
#' use.
#'
#' To speed up a saved Keras model, call `accelerate()` on what `load_model()` returns. A model that
#' is restored before it is saved loads where the Python module is not installed.
#'
#' If the model is compiled for XLA (`jit_compile = TRUE`) and the fused engine is not available
#' there, `note` says so.
#'
#' @param model A Keras model, built or not.
#'
#' @return A list that prints as a short report: `changed`, the paths of the layers that changed;
#'   `left`, the reason why each other layer was left, named by its path (`rms_scaling`,
#'   `param_axis`, a subclass with code of its own, or an `axis` that mixes signs, for which Keras
#'   orders `gamma` wrongly); and `note`, a remark, or `""`.
#'
#' @section Errors:
#' An R value is an error of class `layernorm_argument_error`, raised before Python starts; a Python
#' object that is not a Keras model is a `TypeError`. If anything fails, the model stays as it was.
#'
#' @references `accelerate()` and `restore()` in the Python module `py_layernorm`, which do the
#'   work.
#' @seealso [layer_layer_normalization()], [use_engine()]
#' @export
#' @examplesIf layernorm:::has_keras()
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
