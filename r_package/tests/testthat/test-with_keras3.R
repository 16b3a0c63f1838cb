# With the package keras3, where it is installed. The file's name makes these tests the last ones:
# once keras3 is loaded, an axis that is not negative is ambiguous.

test_that("keras3's Sequential models pass through, in keras3's own pipes", {
  skip_if_no_keras3()
  py_keras()$utils$clear_session()
  model <- keras3::keras_model_sequential(input_shape = 4)
  result <- withVisible(
    model |>
      keras3::layer_dense(3) |>
      layer_layer_normalization() |>
      keras3::layer_dense(2)
  )
  expect_false(result$visible)
  expect_identical(result$value, model)
  expect_identical(layer_names(model), c("dense", "layer_normalization", "dense_1"))
  expect_identical(class(model$layers[[2]])[1], "py_layernorm.layer.LayerNormalization")
  model |> compose_layer(keras3::layer_activation_relu())
  expect_identical(utils::tail(layer_names(model), 1), "re_lu")
})

test_that("a model with both is trained, saved and loaded by keras3", {
  skip_if_no_keras3()
  model <- keras3::keras_model_sequential(input_shape = 4) |>
    layer_layer_normalization(
      gamma_initializer = keras3::initializer_constant(2),
      gamma_regularizer = keras3::regularizer_l2(0.01),
      beta_constraint = keras3::constraint_nonneg()
    ) |>
    keras3::layer_dense(3, activation = "softmax")
  keras3::compile(model, loss = "sparse_categorical_crossentropy", optimizer = "adam")
  x <- as.matrix(iris[1:4])
  keras3::fit(model, x, as.integer(iris$Species) - 1L, epochs = 1, verbose = 0)
  file <- withr::local_tempfile(fileext = ".keras")
  keras3::save_model(model, file)
  loaded <- keras3::load_model(file)
  expect_identical(loaded$layers[[1]]$get_config(), model$layers[[1]]$get_config())
  expect_identical(
    stats::predict(loaded, x, verbose = 0), stats::predict(model, x, verbose = 0)
  )
})

test_that("tensors go both ways", {
  skip_if_no_keras3()
  x <- numbers(3, 4)
  tensor <- keras3::op_convert_to_tensor(x, "float64")
  y <- layer_norm(tensor)
  expect_true(keras3::op_is_tensor(y))
  expect_equal(as_r_array(y), reference_norm(x, 1), tolerance = 1e-12)
  expect_equal(as_r_array(keras3::op_sum(y)), sum(reference_norm(x, 1)), tolerance = 1e-9)
  output <- layer_layer_normalization(tensor)
  expect_equal(as.array(output), reference_norm(x, 1), tolerance = 1e-6)

  input <- keras3::keras_input(4)
  output <- input |> layer_layer_normalization() |> keras3::layer_dense(2)
  model <- keras3::keras_model(input, output)
  expect_identical(dim(stats::predict(model, x, verbose = 0)), c(3L, 2L))
  expect_error(layer_layer_normalization(model), "Pass a model's output tensor")
})

test_that("our layers go into keras3's functions, keras3's into ours", {
  skip_if_no_keras3()
  x <- numbers(3, 4)
  layer <- layer_layer_normalization()
  model <- keras3::keras_model_sequential(layers = list(layer))
  expect_equal(as_r_array(model(x)), reference_norm(x, 1), tolerance = 1e-6)
  config <- keras3::get_config(layer)
  again <- keras3::from_config(config)
  expect_identical(again$get_config()[names(config)], layer$get_config()[names(config)])
  own <- keras3::layer_layer_normalization(keras3::keras_model_sequential(input_shape = 4))
  expect_identical(accelerate(own)$changed, own$layers[[1]]$path)
  expect_equal(as_r_array(own(x)), reference_norm(x, 1), tolerance = 1e-6)
})

test_that("an axis that is not negative is ambiguous until axis_base is given", {
  skip_if_no_keras3()
  x <- numbers(2, 3, 4)
  expect_argument_error(layer_layer_normalization(x, axis = 1), "axis = 1, axis_base = 0 ")
  own <- as_r_array(keras3::layer_layer_normalization(x, axis = 2))
  ours <- as_r_array(layer_layer_normalization(x, axis = 2, axis_base = 1))
  expect_equal(ours, own, tolerance = 1e-6)
  expect_equal(ours, reference_norm(x, c(1, 3)), tolerance = 1e-6)
})

test_that("attached after keras3, layernorm's function is the one that is found", {
  skip_if_no_keras3()
  out <- run_r(c(
    "detach('package:layernorm')",
    "suppressPackageStartupMessages(library(keras3))",
    "library(layernorm)",
    "cat('FOUND', environmentName(environment(layer_layer_normalization)), '\\n')",
    "cat('STARTED', reticulate::py_available(), '\\n')"
  ))
  expect_match(out, "layer_layer_normalization", all = FALSE) # R's message that it masks
  expect_match(out, "FOUND layernorm", all = FALSE)
  expect_match(out, "STARTED FALSE", all = FALSE)
})
