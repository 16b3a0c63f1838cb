# What to pass instead, in R's words. Every message of a wrong argument ends with such a sentence.

#' Advice about what came where an array, a tensor or a model was expected
#'
#' @param value What came.
#' @param arg The name of the argument.
#' @noRd
advise_values <- function(value, arg) {
  if (arg == "object" && is_number(value)) {
    sprintf("For the axis, write `axis = %s`: `object` comes first.", format(value))
  } else if (is_model_file(value)) {
    "That is a file: pass what `keras$models$load_model()` returns for it."
  } else if (is.list(value) && !is.object(value) && any(vapply(value, is_python, logical(1)))) {
    "Pass one tensor at a time, or join them with Keras's `Concatenate` layer."
  } else {
    advise_kind(value, arg) %or% if (arg == "object") {
      "Pass what `keras$Sequential()` or `keras$Input()` returns, or a matrix."
    } else {
      "Pass a matrix, an array or a tensor."
    }
  }
}

#' Advice that depends on the kind of value alone; `NULL` if there is none
#' @noRd
advise_kind <- function(value, arg) {
  x <- if (arg == "object") "x" else arg
  if (is.null(value)) {
    "NULL is what `$` gives for a name that is not there: check the spelling."
  } else if (is.function(value)) {
    "This is a function: pass what it returns, so call it with `()`."
  } else if (is.data.frame(value)) {
    advise_data_frame(value)
  } else if (is.factor(value)) {
    sprintf("Pass indicator columns, one for each level: `model.matrix(~ %s - 1)`.", x)
  } else if (inherits(value, c("Date", "POSIXt", "difftime"))) {
    sprintf("Pass numbers: `matrix(as.numeric(%s))`.", x)
  } else if (inherits(value, "integer64")) {
    sprintf("Pass doubles: `array(as.double(%s), dim(%s))`.", x, x)
  } else if (inherits(value, "sparseMatrix")) {
    sprintf("Sparse matrices are not supported: pass a dense one, `as.matrix(%s)`.", x)
  } else if (isS4(value)) {
    sprintf("Pass `as.matrix(%s)`, if that holds numbers.", x)
  } else if (is.list(value)) {
    advise_list(value, x)
  } else if (is.character(value)) {
    advise_characters(value, x)
  } else if (is.complex(value)) {
    sprintf("Pass `Re(%s)` and `Im(%s)`, or `Mod(%s)`.", x, x, x)
  } else if (is.raw(value)) {
    sprintf("Pass integers: `array(as.integer(%s), dim(%s))`.", x, x)
  } else if (is.null(dim(value)) && (is.numeric(value) || is.logical(value))) {
    advise_vector(value, arg)
  }
}

advise_vector <- function(value, arg) {
  if (arg %in% c("x", "object")) {
    "Pass one row as `matrix(x, nrow = 1)`, or one column as `matrix(x)`."
  }
}

advise_data_frame <- function(value) {
  numeric <- vapply(value, function(column) is.numeric(column) || is.logical(column), logical(1))
  if (all(numeric)) {
    "Pass `as.matrix()` of it."
  } else {
    sprintf(
      "Pass `as.matrix()` of its numeric columns. Not numeric: %s.",
      toString(utils::head(names(value)[!numeric], 5))
    )
  }
}

advise_list <- function(value, x) {
  numeric <- vapply(value, is.numeric, logical(1))
  if (length(value) > 0 && all(numeric) && length(unique(lengths(value))) == 1) {
    sprintf("Make a matrix of it, with one row for each element: `do.call(rbind, %s)`.", x)
  } else {
    "Make a matrix of it first: `matrix()`, `rbind()` or `simplify2array()`."
  }
}

advise_characters <- function(value, x) {
  if (is.null(dim(value))) {
    return(NULL)
  }
  if (anyNA(suppressWarnings(as.double(value[!is.na(value)])))) {
    paste(
      "These are characters: `as.matrix()` makes them of a data frame with a column that is not",
      "numeric. Leave that column out first."
    )
  } else {
    sprintf("These are numbers written as characters: `storage.mode(%s) <- \"double\"` first.", x)
  }
}

is_model_file <- function(value) is_string(value) && grepl("[.](keras|h5|hdf5)$", value)

#' Advice about what came where a model was expected
#' @noRd
advise_model <- function(value) {
  if (is_model_file(value)) {
    "That is a file: pass what `keras$models$load_model()` returns for it."
  } else if (is.null(value)) {
    "NULL is what `$` gives for a name that is not there: check the spelling."
  } else if (is.function(value)) {
    "This is a function: pass what it returns, so call it with `()`."
  } else if (is.list(value) && any(vapply(value, is_python, logical(1)))) {
    "Pass one model at a time, as in `lapply(models, accelerate)`."
  } else {
    "Pass what `keras$Sequential()` or `keras$models$load_model()` returns."
  }
}

#' Advice about what came where something with values was expected
#' @noRd
advise_tensor <- function(value) {
  if (!is_python(value)) {
    if (is.list(value) && !is.object(value) && any(vapply(value, is_python, logical(1)))) {
      "Pass one tensor at a time, as in `lapply(tensors, as_r_array)`."
    } else {
      advise_kind(value, "x") %or% "Pass a tensor, or numbers, which are returned as they are."
    }
  } else if (reticulate::py_has_attr(value, "get_weights")) {
    "Its weights are `x$get_weights()`; what it computes, `predict()` or a call of it gives."
  } else if (reticulate::py_has_attr(value, "shape")) {
    "A symbolic tensor has no values: `predict()` of a model gives them."
  } else {
    "Pass a tensor, a NumPy array or a Keras variable."
  }
}
