# Axes and other whole numbers: R users write 1 where Python accepts only an int.

#' Axes for Python: integers, counted from 0
#'
#' @param value What the user passed. One whole number stays one number; a longer vector, a list or
#'   a Python tuple becomes several.
#' @param axis_base 0 or 1, what the user counts from. NULL means 0, unless keras3 is loaded.
#' @noRd
to_python_axis <- function(value, axis_base, arg = "axis") {
  check_axis_base(axis_base)
  check_alive(structure(list(value), names = arg))
  plain <- if (is_python(value)) reticulate::py_to_r(value) else value
  axes <- as_whole(plain)
  if (is.null(axes)) {
    if (is_python(value) && is_python(plain)) {
      return(value)
    }
    abort_argument(
      arg, "a whole number, or a vector or list of whole numbers", value,
      sprintf("Write `%s = -1` for the last axis, `%s = c(1, 2)` for two.", arg, arg)
    )
  }
  if (anyDuplicated(axes)) {
    abort_argument(
      arg, "axes that are all different", as.double(axes), "Write each axis once."
    )
  }
  axes <- count_from_zero(axes, axis_base, arg)
  if (inherits(value, "python.builtin.tuple")) {
    reticulate::tuple(as.list(axes))
  } else if (is.list(plain)) {
    as.list(axes)
  } else {
    axes
  }
}

#' Whole numbers as integers, without names; NULL if `x` is empty or holds anything else
#' @noRd
as_whole <- function(x) {
  if (is.list(x) && !is.object(x)) {
    x <- if (all(vapply(x, is_number, logical(1)))) unlist(x)
  }
  if (is.numeric(x) && !is.object(x) && length(x) > 0 && all(is_whole(x))) as.integer(x)
}

is_whole <- function(x) is.finite(x) & x == trunc(x) & abs(x) <= .Machine$integer.max

check_axis_base <- function(value) {
  if (!is.null(value) && !(is_number(value) && value %in% 0:1)) {
    abort_argument(
      "axis_base", "0, 1 or NULL", value,
      "Write `axis_base = 0` to count axes from 0, as Python does, or `axis_base = 1`."
    )
  }
}

count_from_zero <- function(axes, axis_base, arg) {
  if (is.null(axis_base)) {
    if (any(axes >= 0) && isNamespaceLoaded("keras3")) abort_ambiguous(axes, arg)
  } else if (axis_base == 1) {
    if (any(axes == 0)) {
      abort_argument(
        arg, "1 or greater, or negative, when axis_base = 1", as.double(axes),
        sprintf("The first axis is `%s = 1`, the last one `%s = -1`.", arg, arg)
      )
    }
    axes[axes > 0] <- axes[axes > 0] - 1L
  }
  axes
}

abort_ambiguous <- function(axes, arg) {
  code <- deparse(as.double(axes))
  abort_argument(
    arg, "negative, or given with `axis_base`, because the package keras3 is loaded",
    as.double(axes),
    paste0(
      "This package counts axes from 0, keras3 counts them from 1. Write one of\n",
      "  ", arg, " = ", code, ", axis_base = 0  # as in Python: 0 is the first axis\n",
      "  ", arg, " = ", code, ", axis_base = 1  # as in keras3: 1 is the first axis\n",
      "or set `options(layernorm.axis_base = 0)` once."
    )
  )
}

#' Check what `...` holds, and convert whole numbers to integers where Keras requires them
#' @noRd
check_dots <- function(dots, axis_base) {
  if (length(dots) == 0) {
    return(dots)
  }
  given <- names(dots)
  if (is.null(given) || !all(nzchar(given))) {
    unnamed <- if (is.null(given)) 1 else which(!nzchar(given))[1]
    abort_argument(
      "...", "named arguments", dots[[unnamed]],
      "Name the argument, as in `dtype = \"float32\"`."
    )
  }
  for (arg in intersect(given, c("input_shape", "batch_shape", "batch_input_shape"))) {
    dots[arg] <- list(to_python_shape(dots[[arg]], arg))
  }
  for (arg in intersect(given, c("batch_size", "input_dim", "seed"))) {
    dots[arg] <- list(to_python_int(dots[[arg]], arg))
  }
  if (!is.null(dots$param_axis)) {
    dots$param_axis <- to_python_axis(dots$param_axis, axis_base, "param_axis")
  }
  dots
}

to_python_int <- function(value, arg) {
  if (is.null(value) || is_python(value)) {
    return(value)
  }
  whole <- if (length(value) == 1) as_whole(value)
  if (is.null(whole)) {
    abort_argument(arg, "one whole number, or NULL", value, sprintf("Write `%s = 32`.", arg))
  }
  whole
}

#' A list of integers, with NULL for each unknown length
#' @noRd
to_python_shape <- function(value, arg) {
  if (is.null(value) || is_python(value)) {
    return(value)
  }
  lengths <- if (is.atomic(value) || is.list(value)) unname(as.list(value)) else list(value)
  unknown <- vapply(lengths, function(x) is.null(x) || (is.atomic(x) && anyNA(x)), logical(1))
  whole <- lapply(lengths, function(x) if (length(x) == 1) as_whole(x))
  known <- unlist(whole[!unknown])
  if (length(known) < sum(!unknown) || any(known < 0)) {
    abort_argument(
      arg, "whole numbers, with NA for an unknown length", value,
      sprintf("Write `%s = c(NA, 4)`.", arg)
    )
  }
  whole
}
