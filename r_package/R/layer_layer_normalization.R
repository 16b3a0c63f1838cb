#' Layer normalisation layer
#'
#' Creates a layer that centres and scales each row by its own mean and variance, and composes it
#' with `object`:
#'
#' ```
#' y = (x - mean) / sqrt(var + epsilon) * gamma + beta
#' ```
#'
#' `mean` and `var` are taken over `axis`; `var` is the mean of the squared deviations, so it
#' divides by n, unlike [stats::var()]. `x` and `y` have the same shape, of rank 1 or more. `gamma`
#' and `beta` are trained; they have the lengths of `x` along `axis`, in increasing order of the
#' axes.
#'
#' @section Axes count from 0:
#' As in Python and in R's keras, axes count from 0: in a batch of rows, `axis = 1` is the features.
#' R's keras3 counts them from 1. Negative axes, counted from the end, mean the same everywhere. So
#' when keras3 is loaded, a non-negative axis is an error that names both meanings, unless
#' `axis_base` or the option `layernorm.axis_base` says which one is meant.
#'
#' keras3 exports a function of the same name. The package attached last masks the other one, which
#' can be called as `keras3::layer_layer_normalization()`.
#'
#' @section Functions of your own:
#' An R function works in training as an initializer, regularizer or constraint, but the `.keras`
#' file that Keras saves with it cannot be loaded. The layer therefore warns when it is created:
#' save the weights only, with `model$save_weights()`. Keras's own, by name or as objects, are saved
#' and loaded, in R and in Python.
#'
#' @section Computation:
#' Statistics are computed in at least float32 (in float64 for float64), whatever the layer's dtype
#' policy. The output has the layer's compute dtype; integers and logicals are converted to it
#' first. Complex numbers are an error. Rows are independent: an `NA` in one row does not affect the
#' others.
#'
#' @inheritParams compose_layer
#' @param axis The axes to normalise over: a whole number such as `-1`, several as `c(1, 2)` or
#'   `list(1, 2)`, in any order, or a Python tuple.
#' @param epsilon A finite number, zero or greater, added to the variance. `NULL` means the square
#'   of Keras's `epsilon()`.
#' @param center `TRUE` to add `beta`.
#' @param scale `TRUE` to multiply by `gamma`. Unnecessary when the next layer is linear.
#' @param beta_initializer,gamma_initializer Initial values: a Keras initializer, the name of one,
#'   or a function of `(shape, dtype)`.
#' @param beta_regularizer,gamma_regularizer A penalty on the weights: a Keras regularizer, the name
#'   of one, a function of the weights, or `NULL` for none.
#' @param beta_constraint,gamma_constraint A projection of the weights after each training step: a
#'   Keras constraint, the name of one, a function of the weights, or `NULL` for none.
#' @param trainable `TRUE` to train the weights.
#' @param name The layer's name, one string, unique within a model. `NULL` lets Keras choose one.
#' @param ... More arguments of the layer, by name: `param_axis`, the axes that `gamma` and `beta`
#'   span (`NULL`, the default, means `axis`), and those of every Keras layer, such as `dtype` or
#'   `input_shape`.
#' @param axis_base What `axis` and `param_axis` count from: 0, or 1 as in keras3. `NULL` means 0,
#'   but is an error if keras3 is loaded and an axis is not negative.
#'
#' @return
#' The value depends on `object`, which is evaluated before the layer is created, so that a pipe
#' names its layers in order:
#'
#' * missing or `NULL`: the layer.
#' * a Sequential model: the same model, with the layer appended, invisibly. If the layer cannot be
#'   built there, the model stays as it was.
#' * a tensor or an array: the output tensor, of the same shape. [as_r_array()] converts it to an R
#'   array.
#'
#' @section Errors and warnings:
#' A wrong argument is an error of class `layernorm_argument_error`, raised before Python starts; it
#' says what was expected and what was received. An error that only the input's shape can show, such
#' as an axis out of range, is a `ValueError` from Python; an `object` that cannot be composed, such
#' as a functional model, is a `TypeError`. If the Python module is missing, an error of class
#' `layernorm_python_error` says how to install it. Adding to a compiled model warns that it must be
#' compiled again; an R function that cannot be saved is a warning, see above. If a warning ends the
#' call, as it does with `options(warn = 2)`, the model stays as it was.
#'
#' @references Ba, Kiros, Hinton (2016). Layer Normalization. <https://arxiv.org/abs/1607.06450>
#' @seealso [layer_norm()], the same computation as a function without weights of its own;
#'   [layernorm_sitrep()], if Python is not found; `vignette("layernorm")`, a tutorial; and
#'   `vignette("keras", package = "layernorm")`, for users of keras and keras3.
#' @export
#' @examplesIf layernorm:::has_keras()
#' keras <- reticulate::import("keras")
#' model <- keras$Sequential(list(keras$Input(list(4L))))
#' model |>
#'   layer_layer_normalization(epsilon = 1e-5, name = "norm") |>
#'   compose_layer(keras$layers$Dense(3L))
#' dim(model$predict(as.matrix(iris[1:4]), verbose = 0L))
#'
#' # Without an object, the layer is returned; it accepts arrays, too.
#' layer <- layer_layer_normalization()
#' layer(as.matrix(iris[1:2, 1:4])) |> as_r_array()
layer_layer_normalization <- function(object,
                                      axis = -1,
                                      epsilon = 0.001,
                                      center = TRUE,
                                      scale = TRUE,
                                      beta_initializer = "zeros",
                                      gamma_initializer = "ones",
                                      beta_regularizer = NULL,
                                      gamma_regularizer = NULL,
                                      beta_constraint = NULL,
                                      gamma_constraint = NULL,
                                      trainable = TRUE,
                                      name = NULL,
                                      ...,
                                      axis_base = getOption("layernorm.axis_base")) {
  object <- check_object(if (missing(object)) NULL else object)
  args <- list(
    axis = to_python_axis(axis, axis_base),
    epsilon = check_epsilon(epsilon),
    center = check_flag(center, "center"),
    scale = check_flag(scale, "scale"),
    beta_initializer = check_initializer(beta_initializer, "beta_initializer"),
    gamma_initializer = check_initializer(gamma_initializer, "gamma_initializer"),
    beta_regularizer = check_regularizer(beta_regularizer, "beta_regularizer"),
    gamma_regularizer = check_regularizer(gamma_regularizer, "gamma_regularizer"),
    beta_constraint = check_constraint(beta_constraint, "beta_constraint"),
    gamma_constraint = check_constraint(gamma_constraint, "gamma_constraint"),
    trainable = check_flag(trainable, "trainable"),
    name = check_name(name)
  )
  args <- c(args, check_dots(list(...), axis_base))
  compose(object, "layer_layer_normalization", args)
}
