# What to pass instead, in R's terms. Messages about wrong arguments end with such a sentence.

#' Advice where an array, a tensor or a model was expected
#'
#' @param value What was received.
#' @param arg The name of the argument.
#' @noRd
advise_values <- function(value, arg) {
  if (arg == "object" && is_number(value)) {
    sprintf("For the axis, write `axis = %s`: `object` comes first.", format(value))
  } else if (is_model_file(value)) {
    "This is a file: pass what `keras$models$load_model()` returns for it."
  } else if (holds_python(value)) {
    "Pass one tensor at a time, or join them with Keras's `Concatenate` layer."
  } else {
    advise_kind(value, arg) %or% if (arg == "object") {
      "Pass what `keras$Sequential()` or `keras$Input()` returns, or a matrix."
    } else {
      "Pass a matrix, an array or a tensor."
    }
  }
}

# Kinds of values: how each is recognised, and what to write instead, `%s` being the argument. The
# first that fits counts.
kinds <- list(
  list(is.null, "A name that does not exist gives NULL after `$`: check the spelling."),
  list(is.function, "This is a function: call it with `()`, and pass what it returns."),
  list(is.data.frame, function(value, x) advise_data_frame(value)),
  list(is.factor, "Pass indicator columns, one for each level: `model.matrix(~ %s - 1)`."),
  list(
    function(value) inherits(value, c("Date", "POSIXt", "difftime")),
    "Pass numbers: `matrix(as.numeric(%s))`."
  ),
  list(
    function(value) inherits(value, "integer64"), "Pass doubles: `array(as.double(%s), dim(%s))`."
  ),
  list(
    function(value) inherits(value, "sparseMatrix"),
    "Sparse matrices are not supported: pass a dense one, `as.matrix(%s)`."
  ),
  list(isS4, "Pass `as.matrix(%s)`, if that holds numbers."),
  list(is.list, function(value, x) advise_list(value, x)),
  list(is.character, function(value, x) advise_characters(value, x)),
  list(is.complex, "Pass `Re(%s)` and `Im(%s)`, or `Mod(%s)`."),
  list(is.raw, "Pass integers: `array(as.integer(%s), dim(%s))`.")
)

#' Advice that depends on the kind of value alone; `NULL` if there is none
#' @noRd
advise_kind <- function(value, arg) {
  x <- if (arg == "object") "x" else arg
  kind <- Find(function(kind) kind[[1]](value), kinds)
  if (is.null(kind)) {
    if (is.numeric(value) || is.logical(value)) advise_vector(value, arg)
  } else if (is.function(kind[[2]])) {
    kind[[2]](value, x)
  } else {
    gsub("%s", x, kind[[2]], fixed = TRUE)
  }
}

advise_vector <- function(value, arg) {
  if (is.null(dim(value)) && arg %in% c("x", "object")) {
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
    sprintf("Combine its elements as the rows of a matrix: `do.call(rbind, %s)`.", x)
  } else {
    "Convert it to a matrix first, with `matrix()`, `rbind()` or `simplify2array()`."
  }
}

advise_characters <- function(value, x) {
  if (is.null(dim(value))) {
    return(NULL)
  }
  if (anyNA(suppressWarnings(as.double(value[!is.na(value)])))) {
    paste(
      "These are characters: that is what `as.matrix()` makes of a data frame with a column that",
      "is not numeric. Leave that column out first."
    )
  } else {
    sprintf("These are numbers written as characters: `storage.mode(%s) <- \"double\"` first.", x)
  }
}

is_model_file <- function(value) is_string(value) && grepl("[.](keras|h5|hdf5)$", value)

#' Advice where a model was expected
#' @noRd
advise_model <- function(value) {
  if (is_model_file(value)) {
    "This is a file: pass what `keras$models$load_model()` returns for it."
  } else if (is.null(value)) {
    "A name that does not exist gives NULL after `$`: check the spelling."
  } else if (is.function(value)) {
    "This is a function: call it with `()`, and pass what it returns."
  } else if (holds_python(value)) {
    "Pass one model at a time, as in `lapply(models, accelerate)`."
  } else {
    "Pass what `keras$Sequential()` or `keras$models$load_model()` returns."
  }
}

#' Advice where something with values was expected
#' @noRd
advise_tensor <- function(value) {
  if (!is_python(value)) {
    if (holds_python(value)) {
      "Pass one tensor at a time, as in `lapply(tensors, as_r_array)`."
    } else {
      advise_kind(value, "x") %or% "Pass a tensor, or numbers, which are returned as they are."
    }
  } else if (reticulate::py_has_attr(value, "get_weights")) {
    "Its weights are `x$get_weights()`; to get its output, call it or use `predict()`."
  } else if (reticulate::py_has_attr(value, "shape")) {
    "A symbolic tensor has no values: call `predict()` on a model to get them."
  } else {
    "Pass a tensor, a NumPy array or a Keras variable."
  }
}
