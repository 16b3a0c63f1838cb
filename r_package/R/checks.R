# The checks of arguments. They all run before Python starts.

#' Report a wrong argument
#'
#' @param arg Its name.
#' @param expected What was expected, to complete "`arg` must be ...".
#' @param value What was received.
#' @param advice A sentence that says what to do.
#' @noRd
abort_argument <- function(arg, expected, value, advice) {
  message <- paste0(
    "`", arg, "` must be ", expected, ".\n",
    "Received: ", arg, " = ", describe(value), "\n",
    advice
  )
  stop(errorCondition(message, class = "layernorm_argument_error", call = NULL, arg = arg))
}

#' Describe a value: its code if that is short, otherwise its class and size
#' @noRd
describe <- function(value) {
  size <- if (is.null(dim(value))) {
    paste("of length", length(value))
  } else {
    paste("of dim", paste(dim(value), collapse = " x "))
  }
  if (is_python(value)) {
    sprintf("<a Python object of class %s>", class(value)[1])
  } else if (is.object(value) || is.function(value) || is.environment(value)) {
    sized <- is.factor(value) || !is.null(dim(value))
    sprintf("<a %s%s>", class(value)[1], if (sized) paste0(" ", size) else "")
  } else if (!is.null(dim(value))) {
    sprintf("<a %s %s %s>", typeof(value), class(value)[1], size)
  } else if (holds_python(value)) {
    sprintf("<a list %s with Python objects>", size)
  } else {
    text <- paste(deparse(value, width.cutoff = 500), collapse = " ")
    if (nchar(text) <= 60) text else sprintf("<a %s %s>", typeof(value), size)
  }
}

holds_python <- function(x) {
  is.list(x) && !is.object(x) && any(vapply(x, is_python, logical(1)))
}

is_python <- function(x) inherits(x, "python.builtin.object")

is_string <- function(x) is.character(x) && length(x) == 1 && !is.na(x) && nzchar(x)

is_number <- function(x) is.numeric(x) && !is.object(x) && length(x) == 1 && is.finite(x)

#' Stop if a Python object among `args` has lost its pointer
#' @noRd
check_alive <- function(args) {
  for (arg in names(args)) {
    value <- args[[arg]]
    if (is_python(value) && reticulate::py_is_null_xptr(value)) {
      abort_argument(
        arg, "a live Python object", value,
        paste(
          "It comes from another R session: `readRDS()` and `load()` do not restore Python",
          "objects. Create it again, or save the model with its own `save()`."
        )
      )
    }
  }
}

check_flag <- function(value, arg) {
  if (!is.logical(value) || length(value) != 1 || is.na(value)) {
    abort_argument(arg, "TRUE or FALSE", value, sprintf("Write `%s = TRUE`.", arg))
  }
  as.logical(value)
}

check_epsilon <- function(value) {
  if (is.null(value) || is_python(value)) {
    return(value)
  }
  if (!is_number(value) || value < 0) {
    abort_argument(
      "epsilon", "one finite number, zero or greater, or NULL", value,
      "Write `epsilon = 0.001`; NULL means the square of Keras's `epsilon()`."
    )
  }
  as.double(value)
}

check_name <- function(value) {
  if (!is.null(value) && !is_string(value)) {
    abort_argument(
      "name", "one string, or NULL", value,
      "Write `name = \"norm\"`; NULL lets Keras choose a name."
    )
  }
  value
}

check_initializer <- function(value, arg) {
  # Keras calls it as f(shape, dtype = "float32").
  check_registered(value, arg, example = "ones", optional = FALSE, further = "dtype")
}

check_regularizer <- function(value, arg) check_registered(value, arg, example = "l2")

check_constraint <- function(value, arg) check_registered(value, arg, example = "non_neg")

#' Check an initializer, regularizer or constraint
#'
#' @param example A name that Keras knows.
#' @param optional Whether NULL is allowed.
#' @param further The name of the argument that Keras passes after the first.
#' @noRd
check_registered <- function(value, arg, example, optional = TRUE, further = NULL) {
  if (is_python(value) || (optional && is.null(value))) {
    return(value)
  }
  if (is.function(value)) {
    check_function(value, arg, further)
  } else if (!is_string(value) && !is_config(value)) {
    abort_argument(
      arg,
      sprintf(
        "a Keras %s, the name of one%s or a function",
        sub(".*_", "", arg), if (optional) ", NULL" else ""
      ),
      value, sprintf("Write `%s = \"%s\"`.", arg, example)
    )
  }
  value
}

is_config <- function(x) is.list(x) && !is.object(x) && !is.null(names(x))

check_function <- function(value, arg, further) {
  has <- names(formals(args(value)))
  if (!"..." %in% has && !(length(has) > length(further) && all(further %in% has))) {
    wanted <- if (is.null(further)) "x" else paste("shape,", further)
    abort_argument(
      arg, sprintf("a function of (%s)", wanted), value,
      sprintf("This is a function of (%s).", paste(has, collapse = ", "))
    )
  }
}

check_layer <- function(value) {
  if (!is_python(value)) {
    abort_argument(
      "layer", "a Keras layer", value,
      if (is.function(value)) {
        "This is a function: pass what it returns, such as `keras$layers$Dense(3L)`."
      } else {
        "Pass what `layer_layer_normalization()` or `keras$layers$Dense(3L)` returns."
      }
    )
  }
  value
}

#' Check `gamma` or `beta` of `layer_norm()`; a vector becomes an array with one axis
#' @noRd
check_weights <- function(value, arg) {
  if (is.null(value) || is_python(value)) {
    return(value)
  }
  if (!is.numeric(value) || is.object(value)) {
    abort_argument(
      arg, "a numeric vector or array, a tensor, or NULL", value,
      advise_kind(value, arg) %or% sprintf("Write `%s = c(1, 2)` for rows of length 2.", arg)
    )
  }
  array(as.double(value), dim = if (is.null(dim(value))) length(value) else dim(value))
}

#' Check the object that a layer is composed with, as far as R can tell
#'
#' Python checks Python objects. Integers and logicals with NA become doubles, the only type that
#' can hold NA in Python.
#' @noRd
check_object <- function(value, arg = "object") {
  if (is_python(value) || (is.null(value) && arg == "object")) {
    return(value)
  }
  if (!is_real_array(value)) {
    abort_argument(
      arg,
      paste0(
        if (arg == "object") "a Sequential model, " else "",
        "a tensor, or an array or matrix of real numbers"
      ),
      value, advise_values(value, arg)
    )
  }
  if (!is.double(value) && anyNA(value)) {
    storage.mode(value) <- "double"
  }
  value
}

# An integer64 looks like a double, but its bits mean something else.
is_real_array <- function(x) {
  is.array(x) && (is.numeric(x) || is.logical(x)) && !inherits(x, "integer64")
}
