keras_norm <- function(...) py_keras()$layers$LayerNormalization(...)

norm_packages <- "[type(l).__module__.split('.')[0] for l in m.layers if 'norm' in l.name]"

test_that("every layer normalisation becomes ours and Keras's again, with the same weights", {
  skip_if_no_keras()
  model <- new_model() |>
    compose_layer(keras_norm(name = "norm_1")) |>
    compose_layer(keras_norm(name = "norm_2"))
  model$set_weights(lapply(1:4, function(i) array(numbers(4) + i, 4)))
  weights <- vapply(model$weights, reticulate::py_id, "")
  x <- numbers(3, 4)
  before <- model$predict(x, verbose = 0L)

  report <- accelerate(model)
  expect_identical(report$changed, c("sequential/norm_1", "sequential/norm_2"))
  expect_null(report$left)
  expect_identical(report$note, "")
  expect_output(print(report), "^2 layers accelerated: sequential/norm_1, sequential/norm_2$")
  expect_identical(py(norm_packages, m = model), c("py_layernorm", "py_layernorm"))
  expect_identical(vapply(model$weights, reticulate::py_id, ""), weights)
  expect_equal(model$predict(x, verbose = 0L), before, tolerance = 1e-5)

  expect_identical(restore(model)$changed, report$changed)
  expect_identical(py(norm_packages, m = model), c("keras", "keras"))
  expect_equal(model$predict(x, verbose = 0L), before, tolerance = 1e-5)
})

test_that("what is left is named with the reason", {
  skip_if_no_keras()
  model <- new_model() |> layer_layer_normalization(param_axis = -1, name = "norm")
  report <- restore(model)
  expect_identical(report$changed, character())
  expect_identical(report$left, c("sequential/norm" = "Keras's layer has no param_axis, here -1"))
  expect_output(print(report), "left as it was: sequential/norm, because Keras's layer")
})

test_that("a model that is compiled for XLA is told how to have the fused engine, if it cannot", {
  skip_if_no_keras()
  model <- new_model() |> compose_layer(keras_norm())
  model$compile("sgd", "mse", jit_compile = TRUE)
  expect_identical(accelerate(model)$note, "")
  restore(model)
  engines <- reticulate::import("py_layernorm.engines")
  before <- engines$unavailable_under_xla
  withr::defer(engines$unavailable_under_xla <- before)
  engines$unavailable_under_xla <- function() "XLA is too old"
  expect_match(accelerate(model)$note, "XLA is too old.*jit_compile=False")
})

test_that("anything but a model is refused", {
  expect_argument_error(accelerate(1), "`model` must be a Keras model.\nReceived: model = 1")
  expect_argument_error(restore("model"), "`model` must be a Keras model")
  expect_argument_error(accelerate(NULL), "Received: model = NULL")
  skip_if_no_keras()
  expect_error(accelerate(keras_norm()), "model must be a Keras model")
  expect_error(restore(py_keras()), "model must be a Keras model")
  expect_session_works()
})
