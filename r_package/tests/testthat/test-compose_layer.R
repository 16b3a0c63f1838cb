test_that("without an object the layer comes back", {
  skip_if_no_keras()
  dense <- py_keras()$layers$Dense(3L)
  expect_identical(reticulate::py_id(compose_layer(NULL, dense)), reticulate::py_id(dense))
  expect_identical(reticulate::py_id(compose_layer(layer = dense)), reticulate::py_id(dense))
})

test_that("a Sequential comes back itself, invisibly, one layer longer", {
  skip_if_no_keras()
  model <- new_model()
  result <- withVisible(compose_layer(model, py_keras()$layers$Dense(3L)))
  expect_false(result$visible)
  expect_identical(result$value, model)
  expect_identical(layer_names(model), "dense")
  expect_identical(reticulate::py_id(result$value), reticulate::py_id(model))
})

test_that("a tensor gives a visible tensor, even the one that went in", {
  skip_if_no_keras()
  input <- py_keras()$Input(list(4L))
  result <- withVisible(compose_layer(input, py_keras()$layers$Dense(3L)))
  expect_true(result$visible)
  expect_identical(py("t.shape", t = result$value), list(NULL, 3L))

  eager <- py_keras()$ops$ones(c(2L, 3L))
  same <- reticulate::py_run_string(
    "import keras\nclass Same(keras.layers.Layer):\n  def __call__(self, x): return x\n",
    local = TRUE
  )$Same()
  result <- withVisible(compose_layer(eager, same))
  expect_identical(reticulate::py_id(result$value), reticulate::py_id(eager))
  expect_true(result$visible)
})

test_that("arrays go through any layer with Python's numbers", {
  skip_if_no_keras()
  x <- numbers(3, 4)
  relu <- py_keras()$layers$ReLU()
  expect_identical(as_r_array(compose_layer(x, relu)), as_r_array(relu(x)))
  expect_equal(as_r_array(compose_layer(x, relu)), pmax(x, 0), tolerance = 1e-6)
  expect_equal(as_r_array(compose_layer(matrix(-1:2, 2), relu)), matrix(c(0, 0, 1, 2), 2))
})

test_that("a layer that cannot be built there leaves the model as it was", {
  skip_if_no_keras()
  model <- new_model()
  compose_layer(model, py_keras()$layers$Dense(3L))
  x <- numbers(5, 4)
  before <- model$predict(x, verbose = 0L)
  expect_error(compose_layer(model, py_keras()$layers$Conv2D(2L, 3L)), "min_ndim=4")
  expect_identical(layer_names(model), "dense")
  expect_identical(model$predict(x, verbose = 0L), before)
  compose_layer(model, py_keras()$layers$Dense(2L))
  expect_identical(dim(as_r_array(model(x))), c(5L, 2L))
})

test_that("Python decides what objects and layers are", {
  skip_if_no_keras()
  keras <- py_keras()
  input <- keras$Input(list(4L))
  dense <- keras$layers$Dense(3L)
  wrong <- list(
    list(keras$Model(input, dense(input)), "Pass a model's output tensor"),
    list(keras$layers$ReLU(), "Pass a layer's output tensor"),
    list(reticulate::tuple(input, input), "Pass one tensor at a time"),
    list(reticulate::import("json"), "object must be None, a keras.Sequential or a tensor")
  )
  for (row in wrong) {
    expect_error(
      compose_layer(row[[1]], keras$layers$ReLU()), row[[2]], class = "python.builtin.TypeError"
    )
    expect_session_works()
  }
  expect_error(
    compose_layer(new_model(), input), "layer must be a Keras layer",
    class = "python.builtin.TypeError"
  )
  expect_session_works()
})

test_that("a pipe of three names its layers in the order in which they are written", {
  skip_if_no_keras()
  layers <- py_keras()$layers
  model <- new_model() |>
    compose_layer(layers$Dense(3L)) |>
    layer_layer_normalization() |>
    compose_layer(layers$Dense(2L))
  expect_identical(layer_names(model), c("dense", "layer_normalization", "dense_1"))
  expect_identical(dim(as_r_array(model$layers[[1]]$kernel)), c(4L, 3L))
})

test_that("both pipes compose", {
  skip_if_no_keras()
  skip_if_not_installed("magrittr")
  `%>%` <- magrittr::`%>%`
  layers <- py_keras()$layers
  native <- new_model() |> compose_layer(layers$Dense(3L)) |> compose_layer(layers$ReLU())
  expect_identical(layer_names(native), c("dense", "re_lu"))
  piped <- new_model() %>% compose_layer(layers$Dense(3L)) %>% compose_layer(layers$ReLU())
  expect_identical(layer_names(piped), c("dense", "re_lu"))
})
