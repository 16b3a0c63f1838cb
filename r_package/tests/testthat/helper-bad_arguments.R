# Wrong arguments, one per row: function, argument, value, what the message says was expected, and
# how it shows the value. All are found before Python starts.
bad <- function(call, arg, value, expected, received) {
  list(call = call, arg = arg, value = value, expected = expected, received = received)
}

layer <- "layer_layer_normalization"
whole <- "a whole number, or a vector or list of whole numbers"
array_or_model <- "a Sequential model, a tensor, or an array or matrix of real numbers"
flag <- "TRUE or FALSE"
number <- "one finite number, zero or greater, or NULL"
lengths <- "whole numbers, with NA for an unknown length"

bad_arguments <- list(
  bad(layer, "axis", 1.5, whole, "1.5"),
  bad(layer, "axis", 2.9999999, whole, "2.9999999"),
  bad(layer, "axis", NA, whole, "NA"),
  bad(layer, "axis", NA_real_, whole, "NA_real_"),
  bad(layer, "axis", c(1L, NA), whole, "c(1L, NA)"),
  bad(layer, "axis", NaN, whole, "NaN"),
  bad(layer, "axis", Inf, whole, "Inf"),
  bad(layer, "axis", "a", whole, "\"a\""),
  bad(layer, "axis", "2", whole, "\"2\""),
  bad(layer, "axis", TRUE, whole, "TRUE"),
  bad(layer, "axis", 1i, whole, "0+1i"),
  bad(layer, "axis", factor("3"), whole, "<a factor of length 1>"),
  bad(layer, "axis", as.Date("2020-01-01"), whole, "<a Date>"),
  bad(layer, "axis", NULL, whole, "NULL"),
  bad(layer, "axis", integer(), whole, "integer(0)"),
  bad(layer, "axis", list(), whole, "list()"),
  bad(layer, "axis", list(1, "a"), whole, "list(1, \"a\")"),
  bad(layer, "axis", list(1, c(2, 3)), whole, "list(1, c(2, 3))"),
  bad(layer, "axis", list(TRUE), whole, "list(TRUE)"),
  bad(layer, "axis", data.frame(1), whole, "<a data.frame of dim 1 x 1>"),
  bad(layer, "axis", 3e9, whole, "3e+09"),
  bad(layer, "axis", -1:100 + 0.5, whole, "<a double of length 102>"),
  bad(layer, "axis", mean, whole, "<a function>"),
  bad(layer, "axis", c(2, 2), "axes that are all different", "c(2, 2)"),
  bad(layer, "axis", list(-1L, 1, -1), "axes that are all different", "c(-1, 1, -1)"),
  bad(layer, "param_axis", c(1, 1), "axes that are all different", "c(1, 1)"),
  bad(layer, "param_axis", 1.5, whole, "1.5"),
  bad(layer, "param_axis", "a", whole, "\"a\""),
  bad(layer, "axis_base", 2, "0, 1 or NULL", "2"),
  bad(layer, "axis_base", NA, "0, 1 or NULL", "NA"),
  bad(layer, "axis_base", TRUE, "0, 1 or NULL", "TRUE"),
  bad(layer, "axis_base", c(0, 1), "0, 1 or NULL", "c(0, 1)"),
  bad(layer, "epsilon", -1, number, "-1"),
  bad(layer, "epsilon", NA, number, "NA"),
  bad(layer, "epsilon", NaN, number, "NaN"),
  bad(layer, "epsilon", Inf, number, "Inf"),
  bad(layer, "epsilon", c(1, 2, 3, 4), number, "c(1, 2, 3, 4)"),
  bad(layer, "epsilon", numeric(), number, "numeric(0)"),
  bad(layer, "epsilon", "a", number, "\"a\""),
  bad(layer, "epsilon", TRUE, number, "TRUE"),
  bad(layer, "center", NA, flag, "NA"),
  bad(layer, "center", "FALSE", flag, "\"FALSE\""),
  bad(layer, "center", c(TRUE, FALSE), flag, "c(TRUE, FALSE)"),
  bad(layer, "center", 1, flag, "1"),
  bad(layer, "center", NULL, flag, "NULL"),
  bad(layer, "scale", NA, flag, "NA"),
  bad(layer, "trainable", 0L, flag, "0L"),
  bad(layer, "gamma_initializer", NULL, "a Keras initializer, the name of one or a", "NULL"),
  bad(layer, "beta_initializer", NULL, "a Keras initializer, the name of one or a", "NULL"),
  bad(layer, "gamma_initializer", 1, "a Keras initializer, the name of one or a", "1"),
  bad(layer, "gamma_initializer", function(n) n, "a function of (shape, dtype)", "<a function>"),
  bad(
    layer, "beta_initializer", function(dtype) 0, "a function of (shape, dtype)", "<a function>"
  ),
  bad(layer, "gamma_regularizer", 0.01, "a Keras regularizer, the name of one, NULL or a", "0.01"),
  bad(layer, "beta_regularizer", function() 0, "a function of (x)", "<a function>"),
  bad(layer, "beta_constraint", NA, "a Keras constraint, the name of one, NULL or a", "NA"),
  bad(layer, "gamma_constraint", c("a", "b"), "a Keras constraint", "c(\"a\", \"b\")"),
  bad(layer, "name", NA_character_, "one string, or NULL", "NA_character_"),
  bad(layer, "name", c("a", "b"), "one string, or NULL", "c(\"a\", \"b\")"),
  bad(layer, "name", "", "one string, or NULL", "\"\""),
  bad(layer, "name", 1, "one string, or NULL", "1"),
  bad(layer, "input_shape", c(2.5, 4), lengths, "c(2.5, 4)"),
  bad(layer, "input_shape", c(-1, 4), lengths, "c(-1, 4)"),
  bad(layer, "input_shape", "a", lengths, "\"a\""),
  bad(layer, "batch_shape", list(NULL, "a"), lengths, "list(NULL, \"a\")"),
  bad(layer, "batch_input_shape", mean, lengths, "<a function>"),
  bad(layer, "batch_size", 1.5, "one whole number, or NULL", "1.5"),
  bad(layer, "batch_size", c(1, 2), "one whole number, or NULL", "c(1, 2)"),
  bad(layer, "object", -1, array_or_model, "-1"),
  bad(layer, "object", c(1, 2, 3), array_or_model, "c(1, 2, 3)"),
  bad(layer, "object", "model", array_or_model, "\"model\""),
  bad(layer, "object", mean, array_or_model, "<a function>"),
  bad(layer, "object", list(1, 2), array_or_model, "list(1, 2)"),
  bad(layer, "object", iris, array_or_model, "<a data.frame of dim 150 x 5>"),
  bad(layer, "object", matrix(1i, 2, 3), array_or_model, "<a complex matrix of dim 2 x 3>"),
  bad(layer, "object", matrix("a"), array_or_model, "<a character matrix of dim 1 x 1>"),
  bad(layer, "object", as.Date("2020-01-01"), array_or_model, "<a Date>"),
  bad("compose_layer", "object", "model", array_or_model, "\"model\""),
  bad("compose_layer", "layer", "dense", "a Keras layer", "\"dense\""),
  bad("compose_layer", "layer", NULL, "a Keras layer", "NULL"),
  bad("compose_layer", "layer", mean, "a Keras layer", "<a function>"),
  bad("layer_norm", "x", NULL, "a tensor, or an array or matrix of real numbers", "NULL"),
  bad("layer_norm", "x", c(1, 2), "a tensor, or an array or matrix of real numbers", "c(1, 2)"),
  bad("layer_norm", "x", iris, "a tensor, or an array or matrix", "<a data.frame of dim 150 x 5>"),
  bad("layer_norm", "gamma", "a", "a numeric vector or array, a tensor, or NULL", "\"a\""),
  bad("layer_norm", "beta", TRUE, "a numeric vector or array, a tensor, or NULL", "TRUE"),
  bad("layer_norm", "beta", 1i, "a numeric vector or array, a tensor, or NULL", "0+1i"),
  bad("layer_norm", "axis", 1.5, whole, "1.5"),
  bad("layer_norm", "param_axis", TRUE, whole, "TRUE"),
  bad("layer_norm", "epsilon", -1, number, "-1"),
  bad("layer_norm", "axis_base", 3, "0, 1 or NULL", "3"),
  bad("use_engine", "name", "fast", "\"auto\", \"fused\" or \"portable\"", "\"fast\""),
  bad("use_engine", "name", 1, "\"auto\", \"fused\" or \"portable\"", "1"),
  bad("use_engine", "name", NULL, "\"auto\", \"fused\" or \"portable\"", "NULL"),
  bad("set_threads", "threads", 1.5, "one whole number from 1 to 256", "1.5"),
  bad("set_threads", "threads", "2", "one whole number from 1 to 256", "\"2\""),
  bad("set_threads", "threads", c(1, 2), "one whole number from 1 to 256", "c(1, 2)"),
  bad("set_threads", "threads", NULL, "one whole number from 1 to 256", "NULL"),
  bad("as_r_array", "x", NULL, "a tensor with values, a NumPy array or a Keras variable", "NULL"),
  bad("as_r_array", "x", list(1), "a tensor with values, a NumPy array or a Keras", "list(1)")
)

# The condition that a row raises, or NULL.
bad_condition <- function(row) {
  args <- list(
    layer_layer_normalization = list(),
    compose_layer = list(object = NULL, layer = mean),
    layer_norm = list(x = matrix(1)),
    use_engine = list(),
    set_threads = list(),
    as_r_array = list()
  )[[row$call]]
  args[row$arg] <- list(row$value)
  tryCatch(
    {
      do.call(row$call, args, quote = TRUE)
      NULL
    },
    error = identity
  )
}
