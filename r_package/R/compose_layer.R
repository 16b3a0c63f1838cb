#' Compose a layer with a model or a tensor
#'
#' What every `layer_*()` function of R's keras does with its `object`, for any Keras layer.
#'
#' @param object What to compose `layer` with: missing or `NULL`; a Keras Sequential model; a
#'   tensor, symbolic or not; or an array or matrix of real numbers.
#' @param layer A Keras layer.
#'
#' @return
#' What is returned depends on `object`:
#'
#' * missing or `NULL`: `layer`.
#' * a Sequential model: the model itself, one layer longer, invisibly. If the layer cannot be
#'   built there, the model is as it was before the call.
#' * a tensor or an array: the output tensor, `layer(object)`. [as_r_array()] makes an R array of
#'   it.
#'
#' @section Errors and warnings:
#' An R value that is no array of real numbers is an error of class `layernorm_argument_error`,
#' raised before Python starts. What Python objects `object` and `layer` may be is decided by
#' Python: a `TypeError` says what came and what to pass instead. Adding a layer to a compiled
#' model warns that the model must be compiled again, because Keras otherwise goes on training
#' without the new layer.
#'
#' @references The `object` argument of the layer functions of R's packages keras and keras3.
#' @seealso [layer_layer_normalization()]
#' @export
#' @examplesIf layernorm:::has_py_layernorm()
#' keras <- reticulate::import("keras")
#' model <- keras$Sequential(list(keras$Input(list(4L))))
#' model |>
#'   compose_layer(keras$layers$Dense(3L)) |>
#'   layer_layer_normalization()
#' length(model$layers)
#'
#' # A tensor gives a tensor.
#' compose_layer(matrix(c(-1, 2), 1), keras$layers$ReLU()) |> as_r_array()
compose_layer <- function(object, layer) {
  object <- if (missing(object)) NULL else object
  compose(check_object(object), "compose_layer", list(layer = check_layer(layer)))
}

#' Call a Python function that composes, and return as R users expect it
#'
#' @param object An object that `check_object()` has let pass.
#' @param name The Python function's name.
#' @param args A list of its other arguments.
#' @noRd
compose <- function(object, name, args) {
  result <- call_python(name, c(list(object = object), args))
  # The bridge gives back no Sequential that it was given.
  if (is.null(result)) invisible(object) else result
}
