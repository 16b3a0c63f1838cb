#' Normalise an array or a tensor
#'
#' The function that [layer_layer_normalization()] is built on; it has no state:
#'
#' ```
#' y = (x - mean) / sqrt(var + epsilon) * gamma + beta
#' ```
#'
#' `mean` and `var` are taken over `axis`; `var` is the mean of the squared deviations, so it
#' divides by n, unlike [stats::var()].
#'
#' @inheritParams layer_layer_normalization
#' @param x An array or matrix of real numbers, or a tensor, symbolic or not, of rank 1 or more.
#' @param gamma,beta The scale and the offset: `NULL`, a numeric vector or array, or a tensor, with
#'   the lengths of `x` along `param_axis`, in increasing order of the axes.
#' @param param_axis The axes that `gamma` and `beta` span, given like `axis`. `NULL` means `axis`.
#'
#' @return For an R array, an array with the same `dim` and `dimnames`; for a tensor, a tensor of
#'   the same shape and dtype. Doubles are computed in float64. Integers and logicals are computed
#'   in Keras's default float, float32; with an `NA` among them they are first converted to doubles.
#'   A row with an `NA` becomes `NA` and does not affect other rows.
#'
#' @section Errors:
#' A wrong argument is an error of class `layernorm_argument_error`, raised before Python starts. An
#' axis out of range, or weights of the wrong shape, is a `ValueError` from Python.
#'
#' @references Ba, Kiros, Hinton (2016). Layer Normalization. <https://arxiv.org/abs/1607.06450>
#' @seealso [layer_layer_normalization()]
#' @export
#' @examplesIf layernorm:::has_keras()
#' layer_norm(as.matrix(iris[1:3, 1:4]), gamma = c(1, 1, 2, 2), beta = c(0, 0, 0, 1))
layer_norm <- function(x,
                       gamma = NULL,
                       beta = NULL,
                       axis = -1,
                       epsilon = 0.001,
                       param_axis = NULL,
                       axis_base = getOption("layernorm.axis_base")) {
  x <- check_object(x, "x")
  args <- list(
    x = x,
    gamma = check_weights(gamma, "gamma"),
    beta = check_weights(beta, "beta"),
    axis = to_python_axis(axis, axis_base),
    epsilon = check_epsilon(epsilon)
  )
  if (!is.null(param_axis)) {
    args$param_axis <- to_python_axis(param_axis, axis_base, "param_axis")
  }
  y <- call_python("layer_norm", args)
  if (is_python(x)) {
    return(y)
  }
  structure(as_r_array(y), dim = dim(x), dimnames = dimnames(x))
}
