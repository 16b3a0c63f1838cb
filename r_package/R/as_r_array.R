#' Convert a tensor to an R array
#'
#' @param x A tensor with values, a NumPy array or a Keras variable, of any dtype; or an R vector or
#'   array of numbers or logicals, which is returned unchanged.
#'
#' @return An array of the same shape; a plain vector of length 1 for a tensor of rank 0. Its type
#'   depends on the dtype of `x`:
#'
#'   | dtype | type |
#'   |---|---|
#'   | bool | logical |
#'   | int8, int16, int32, uint8, uint16 | integer |
#'   | uint32, int64, uint64 | double, exact up to 2^53 |
#'   | float64, float32, float16, bfloat16, float8 | double, exact |
#'   | complex64, complex128 | complex |
#'
#' @section Errors:
#' Anything else is an error of class `layernorm_argument_error`, including a symbolic tensor, which
#' has no values.
#'
#' @references [reticulate::py_to_r()], which converts NumPy arrays; this function also handles
#'   dtypes that R does not have.
#' @export
#' @examplesIf layernorm:::has_keras()
#' keras <- reticulate::import("keras")
#' as_r_array(keras$ops$ones(c(2L, 3L), dtype = "bfloat16"))
as_r_array <- function(x) {
  if (is_real_array(x) || is_plain_number(x)) {
    return(x)
  }
  check_alive(list(x = x))
  if (!has_values(x)) {
    abort_argument(
      "x", "a tensor with values, a NumPy array or a Keras variable", x, advise_tensor(x)
    )
  }
  if (reticulate::py_len(x$shape) == 0) {
    # TensorFlow cannot make a NumPy array of a bfloat16 scalar.
    return(as.vector(as_r_array(keras()$ops$reshape(x, list(1L)))))
  }
  reticulate::py_to_r(to_numpy(x))
}

is_plain_number <- function(x) {
  !is.object(x) && (is.numeric(x) || is.logical(x) || is.complex(x))
}

has_values <- function(x) {
  is_python(x) && reticulate::py_has_attr(x, "shape") && reticulate::py_has_attr(x, "dtype") &&
    !reticulate::py_to_r(keras()$utils$is_keras_tensor(x))
}

#' Convert a tensor to a NumPy array of a dtype that R has
#' @noRd
to_numpy <- function(x) {
  array <- keras()$ops$convert_to_numpy(x)
  dtype <- reticulate::py_to_r(array$dtype$name)
  if (dtype == "complex64") {
    array$astype("complex128")
  } else if (grepl("int64|uint32|int4|int2|float16|float8", dtype)) {
    array$astype("float64")
  } else {
    array
  }
}

keras <- function() {
  if (is.null(the$keras)) {
    the$keras <- reticulate::import("keras", convert = FALSE)
  }
  the$keras
}
