#' Compose a layer with a model or a tensor
#'
#' Does for any Keras layer what every `layer_*()` function of R's keras does with its `object`.
#'
#' @param object What to compose `layer` with: missing or `NULL`; a Keras Sequential model; a
#'   tensor, symbolic or not; or an array or matrix of real numbers.
#' @param layer A Keras layer.
#'
#' @return
#' The value depends on `object`:
#'
#' * missing or `NULL`: `layer`.
#' * a Sequential model: the same model, with the layer appended, invisibly. If the layer cannot be
#'   built there, the model stays as it was.
#' * a tensor or an array: the output tensor, `layer(object)`. [as_r_array()] converts it to an R
#'   array.
#'
#' @section Errors and warnings:
#' An R value that is not an array of real numbers is an error of class `layernorm_argument_error`,
#' raised before Python starts. Python checks Python objects: a `TypeError` says what was received
#' and what to pass instead. Adding a layer to a compiled model warns that the model must be
#' compiled again, because otherwise Keras keeps training without the new layer. If that warning
#' ends the call, as it does with `options(warn = 2)`, the model stays as it was.
#'
#' @references The `object` argument of the layer functions in the R packages keras and keras3.
#' @seealso [layer_layer_normalization()]
#' @export
#' @examplesIf layernorm:::has_keras()
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

#' Call a Python function that composes, and return its value as R users expect
#'
#' @param object An object that has passed `check_object()`.
#' @param name The Python function's name.
#' @param args A list of its other arguments.
#' @noRd
compose <- function(object, name, args) {
  result <- call_python(name, c(list(object = object), args))
  # The bridge returns None for a Sequential that it was given.
  if (is.null(result)) invisible(object) else result
}
