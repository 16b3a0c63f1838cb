test_that("the signature is that of R's keras, then ... and axis_base", {
  arguments <- as.list(formals(layer_layer_normalization))
  expect_identical(
    names(arguments),
    c(
      "object", "axis", "epsilon", "center", "scale", "beta_initializer", "gamma_initializer",
      "beta_regularizer", "gamma_regularizer", "beta_constraint", "gamma_constraint", "trainable",
      "name", "...", "axis_base"
    )
  )
  expect_identical(eval(arguments$axis), -1)
  expect_identical(arguments[c("epsilon", "beta_initializer")], list(
    epsilon = 0.001, beta_initializer = "zeros"
  ))
})

test_that("every default and every argument reaches Python", {
  skip_if_no_keras()
  config <- layer_layer_normalization()$get_config()
  own <- py("__import__('py_layernorm').LayerNormalization().get_config()")
  config$name <- own$name <- NULL
  expect_identical(config, own)

  config <- layer_layer_normalization(
    axis = c(1, 2), epsilon = 0.5, center = FALSE, scale = FALSE, beta_initializer = "ones",
    gamma_initializer = "zeros", beta_regularizer = "l1", gamma_regularizer = "l2",
    beta_constraint = "non_neg", gamma_constraint = "unit_norm", trainable = FALSE,
    name = "norm", dtype = "float16", param_axis = -1
  )$get_config()
  expect_identical(config$axis, c(1L, 2L))
  expect_identical(config$epsilon, 0.5)
  expect_false(config$center)
  expect_false(config$scale)
  expect_identical(config$beta_initializer$class_name, "Ones")
  expect_identical(config$gamma_initializer$class_name, "Zeros")
  expect_identical(config$beta_regularizer$class_name, "L1")
  expect_identical(config$gamma_regularizer$class_name, "L2")
  expect_identical(config$beta_constraint$class_name, "NonNeg")
  expect_identical(config$gamma_constraint$class_name, "UnitNorm")
  expect_false(config$trainable)
  expect_identical(config$name, "norm")
  expect_identical(config$dtype$config$name, "float16")
  expect_identical(config$param_axis, -1L)
})

test_that("epsilon = NULL is Python's None", {
  skip_if_no_keras()
  expected <- py_keras()$backend$epsilon()^2
  expect_identical(layer_layer_normalization(epsilon = NULL)$epsilon, expected)
})

test_that("without an object the layer comes back, visibly", {
  skip_if_no_keras()
  is_ours <- function(x) py("isinstance(x, __import__('py_layernorm').LayerNormalization)", x = x)
  wrapper <- function(object, ...) layer_layer_normalization(object, ...)
  expect_true(is_ours(layer_layer_normalization()))
  expect_true(is_ours(layer_layer_normalization(NULL)))
  expect_true(is_ours(wrapper()))
  expect_true(is_ours(wrapper(axis = 1)))
  expect_true(is_ours(do.call(layer_layer_normalization, list(axis = 1))))
  expect_true(withVisible(layer_layer_normalization())$visible)
})

test_that("a Sequential comes back itself, invisibly, one layer longer", {
  skip_if_no_keras()
  skip_if_not_installed("magrittr")
  ways <- list(
    pipe = function(model) model |> layer_layer_normalization(),
    magrittr = function(model) magrittr::`%>%`(model, layer_layer_normalization()),
    do.call = function(model) do.call(layer_layer_normalization, list(model)),
    wrapper = function(model) (function(object) layer_layer_normalization(object))(model)
  )
  for (way in ways) {
    model <- new_model()
    result <- withVisible(way(model))
    expect_false(result$visible)
    expect_identical(result$value, model)
    expect_identical(layer_names(model), "layer_normalization")
  }
})

test_that("a model imported without conversion comes back itself", {
  skip_if_no_keras()
  keras <- reticulate::import("keras", convert = FALSE)
  model <- keras$Sequential(list(keras$Input(list(4L))))
  result <- withVisible(model |> layer_layer_normalization())
  expect_false(result$visible)
  expect_identical(result$value, model)
  expect_identical(py("len(model.layers)", model = model), 1L)
})

test_that("a subclass of Sequential is a Sequential", {
  skip_if_no_keras()
  model <- py("type('Mine', (__import__('keras').Sequential,), {})()")
  expect_identical(layer_layer_normalization(model), model)
  expect_length(model$layers, 1)
})

test_that("Python's isinstance decides what an object is, no name of an R class", {
  skip_if_no_keras()
  model <- new_model()
  renamed <- model
  class(renamed) <- c("some.other.name", "python.builtin.object")
  expect_identical(reticulate::py_id(layer_layer_normalization(renamed)), reticulate::py_id(model))
  expect_identical(layer_names(model), "layer_normalization")

  input <- py_keras()$Input(list(4L))
  tensor <- input
  class(tensor) <- class(model)
  expect_true(py_keras()$utils$is_keras_tensor(layer_layer_normalization(tensor)))

  functional <- py_keras()$Model(input, py_keras()$layers$Dense(3L)(input))
  class(functional) <- class(model)
  expect_error(layer_layer_normalization(functional), "Pass a model's output tensor")
})

test_that("objects of Python's that are neither model nor tensor are refused", {
  skip_if_no_keras()
  input <- py_keras()$Input(list(4L))
  functional <- py_keras()$Model(input, py_keras()$layers$Dense(3L)(input))
  type_error <- "python.builtin.TypeError"
  expect_error(layer_layer_normalization(functional), "object must be None.*Functional",
    class = type_error
  )
  expect_error(layer_layer_normalization(py_keras()$layers$ReLU()), "Pass a layer's output tensor",
    class = type_error
  )
  expect_argument_error(layer_layer_normalization(list(input, input)), "Pass one tensor at a time")
})

test_that("tensors and arrays give a visible tensor with Python's numbers", {
  skip_if_no_keras()
  x <- numbers(3, 4)
  result <- withVisible(layer_layer_normalization(x))
  expect_true(result$visible)
  expected <- py("__import__('py_layernorm').layer_layer_normalization(x)", x = x)
  expect_identical(as_r_array(result$value), as_r_array(expected))
  expect_equal(as_r_array(result$value), reference_norm(x, 1), tolerance = 1e-6)

  eager <- py_keras()$ops$convert_to_tensor(x)
  expect_identical(as_r_array(layer_layer_normalization(eager)), as_r_array(expected))

  symbolic <- withVisible(layer_layer_normalization(py_keras()$Input(list(4L))))
  expect_true(symbolic$visible)
  expect_true(py_keras()$utils$is_keras_tensor(symbolic$value))
})

test_that("the numbers are those of Keras's own layer, for every axis", {
  skip_if_no_keras()
  x <- numbers(2, 3, 4)
  cases <- list(
    list(axis = -1, keep = c(1, 2)),
    list(axis = 1, keep = c(1, 3)),
    list(axis = c(1, 2), keep = 1),
    list(axis = c(-1, 1), keep = 1),
    list(axis = c(-1, -2), keep = 1)
  )
  for (case in cases) {
    ours <- as_r_array(layer_layer_normalization(x, axis = case$axis))
    own <- py_keras()$layers$LayerNormalization(axis = as.integer(sort(case$axis)))
    expect_equal(ours, as_r_array(own(x)), tolerance = 1e-6)
    expect_equal(ours, reference_norm(x, case$keep), tolerance = 1e-6)
  }
})

test_that("axes out of order leave gamma and beta where they belong", {
  skip_if_no_keras()
  x <- numbers(2, 3, 4)
  weights <- matrix(1:12 / 4, 3, 4) # increasing order of the axes, however they are listed
  constant <- py_keras()$initializers$Constant
  expected <- sweep(reference_norm(x, 1), c(2, 3), weights, "*")
  expected <- sweep(expected, c(2, 3), weights, "-")
  for (axis in list(c(1, 2), c(-1, 1), c(-1, -2), c(2, 1))) {
    layer <- layer_layer_normalization(
      axis = axis, gamma_initializer = constant(weights), beta_initializer = constant(-weights)
    )
    expect_equal(as_r_array(layer(x)), expected, tolerance = 1e-6) # float32
  }
})

test_that("param_axis makes group normalisation with one group", {
  skip_if_no_keras()
  x <- numbers(2, 3, 4, 5)
  ours <- layer_layer_normalization(
    x, axis = c(1, 2, 3), param_axis = -1,
    gamma_initializer = py_keras()$initializers$Constant(array(1:5))
  )
  own <- py_keras()$layers$GroupNormalization(groups = 1L)
  own$build(list(NULL, 3L, 4L, 5L))
  own$gamma$assign(array(1:5))
  expect_equal(as_r_array(ours), as_r_array(own(x)), tolerance = 1e-6)
})

test_that("a pipe names its layers in order", {
  skip_if_no_keras()
  skip_if_not_installed("magrittr")
  `%>%` <- magrittr::`%>%`
  expected <- c("layer_normalization", "layer_normalization_1", "layer_normalization_2")
  native <- new_model() |>
    layer_layer_normalization() |>
    layer_layer_normalization() |>
    layer_layer_normalization()
  expect_identical(layer_names(native), expected)
  piped <- new_model() %>%
    layer_layer_normalization() %>%
    layer_layer_normalization() %>%
    layer_layer_normalization()
  expect_identical(layer_names(piped), expected)

  py_keras()$utils$clear_session()
  input <- py_keras()$Input(list(4L))
  output <- input |> layer_layer_normalization() |> layer_layer_normalization()
  expect_identical(layer_names(py_keras()$Model(input, output))[-1], expected[1:2])
})

test_that("a layer that cannot be built there leaves the model as it was", {
  skip_if_no_keras()
  model <- new_model() |> layer_layer_normalization()
  x <- numbers(5, 4)
  before <- model$predict(x, verbose = 0L)
  expect_error(
    layer_layer_normalization(model, axis = 7), "axis must lie between -2 and 1.*axis=7",
    class = "python.builtin.ValueError"
  )
  expect_identical(layer_names(model), "layer_normalization")
  expect_identical(model$predict(x, verbose = 0L), before)
  expect_session_works()
})

test_that("what only Python can tell is an error from Python", {
  skip_if_no_keras()
  expect_error(layer_layer_normalization(gamma_initializer = "none"), "gamma_initializer must be")
  expect_error(layer_layer_normalization(no_such_argument = 1), "no_such_argument")
  expect_error(layer_layer_normalization(numbers(2, 3), axis = c(1, -1)), "same axis twice")
  expect_session_works()
})

test_that("adding to a compiled model warns in R", {
  skip_if_no_keras()
  model <- new_model() |> layer_layer_normalization()
  model$compile(loss = "mse")
  expect_warning(
    model |> layer_layer_normalization(), "was compiled before.*compile it again"
  )
  expect_length(model$layers, 2)
})

test_that("R functions work in training as initializer, regularizer and constraint", {
  skip_if_no_keras()
  skip_without_functions()
  ops <- py_keras()$ops
  model <- new_model()
  suppressWarnings(layer_layer_normalization(
    model,
    beta_initializer = function(shape, dtype = NULL) array(0.5, dim = unlist(shape)),
    gamma_initializer = function(shape, ...) ops$full(shape, 3),
    gamma_regularizer = function(weights) ops$sum(weights) * 2,
    beta_constraint = function(weights) ops$minimum(weights, 0.25)
  ))
  layer <- model$layers[[1]]
  expect_identical(as_r_array(layer$gamma), array(3, 4))
  expect_identical(as_r_array(layer$beta), array(0.5, 4))
  expect_equal(as_r_array(model$losses[[1]]), 24)
  model$compile(loss = "mse", optimizer = "sgd")
  model$fit(numbers(8, 4), numbers(8, 4), verbose = 0L)
  expect_true(all(as_r_array(layer$beta) <= 0.25))
  expect_false(any(as_r_array(layer$gamma) == 3))
})
