test_that("a trained model saved in R predicts the same numbers in Python", {
  skip_if_no_keras()
  file <- withr::local_tempfile(fileext = ".keras")
  x <- as.matrix(iris[1:4])
  model <- new_model() |>
    layer_layer_normalization(gamma_regularizer = "l2") |>
    compose_layer(py_keras()$layers$Dense(3L, activation = "softmax"))
  model$compile(loss = "sparse_categorical_crossentropy", optimizer = "adam")
  model$fit(x, array(as.integer(iris$Species) - 1L), epochs = 2L, verbose = 0L)
  model$save(file)
  x_file <- withr::local_tempfile(fileext = ".npy")
  y_file <- withr::local_tempfile(fileext = ".npy")
  np <- reticulate::import("numpy")
  np$save(x_file, x)
  script <- sprintf(
    paste(
      "import keras, numpy, py_layernorm",
      "model = keras.models.load_model(%s)",
      "numpy.save(%s, model.predict(numpy.load(%s), verbose=0))",
      sep = "\n"
    ),
    deparse(file), deparse(y_file), deparse(x_file)
  )
  expect_identical(run_program(planned_python()$path, c("-c", script))$status, 0L)
  expect_equal(np$load(y_file), model$predict(x, verbose = 0L), tolerance = 1e-6)
})

# Loads a model in a Python of its own, trains it a step, and saves it to another file.
train_in_python <- function(file, again) {
  script <- paste(
    "import keras, numpy, py_layernorm, sys",
    sprintf("model = keras.models.load_model(%s)", deparse(file)),
    "model.compile('sgd', 'mse')",
    "model.fit(numpy.ones((2, 4)), numpy.ones((2, 4)), verbose=0)",
    sprintf("model.save(%s)", deparse(again)),
    sep = "\n"
  )
  run_program(planned_python()$path, c("-c", script))$status # nolint: object_usage_linter.
}

test_that("Keras's initializers, regularizers and constraints come back from Python", {
  skip_if_no_keras()
  keras <- py_keras()
  model <- new_model() |>
    layer_layer_normalization(
      gamma_initializer = keras$initializers$Constant(2), gamma_regularizer = "l2",
      gamma_constraint = "non_neg"
    ) |>
    layer_layer_normalization(
      beta_initializer = "ones", beta_regularizer = keras$regularizers$L2(0.01),
      beta_constraint = keras$constraints$MaxNorm(3)
    )
  file <- withr::local_tempfile(fileext = ".keras")
  model$save(file)
  again <- withr::local_tempfile(fileext = ".keras")
  expect_identical(train_in_python(file, again), 0L)
  loaded <- keras$models$load_model(again)
  configs <- function(model) lapply(model$layers, function(layer) layer$get_config())
  expect_identical(configs(loaded), configs(model))
  expect_false(identical(as_r_array(loaded$weights[[1]]), as_r_array(model$weights[[1]])))
})

test_that("the layer says of each R function that no file can bring it back, and weights can", {
  skip_if_no_keras()
  skip_without_functions()
  ops <- py_keras()$ops
  functions <- list(
    beta_initializer = function(shape, dtype) array(0.5, dim = unlist(shape)),
    gamma_initializer = function(shape, dtype) array(2, dim = unlist(shape)),
    beta_regularizer = function(w) ops$sum(w), gamma_regularizer = function(w) ops$sum(w),
    beta_constraint = function(w) w, gamma_constraint = function(w) w
  )
  for (arg in names(functions)) {
    args <- functions[arg]
    add_to <- function(model) do.call(layer_layer_normalization, c(list(model), args))
    said <- testthat::capture_warnings(model <- add_to(new_model()))
    expect_length(said, 1)
    message <- " is a function that load_model\\(\\) cannot restore .*save_weights"
    expect_match(said, paste0("^", arg, message))

    file <- withr::local_tempfile(fileext = ".keras")
    model$save(file)
    expect_error(py_keras()$models$load_model(file), arg, info = arg) # so the warning is true

    model$set_weights(list(array(1:4), array(5:8)))
    weights <- withr::local_tempfile(fileext = ".weights.h5")
    model$save_weights(weights)
    again <- suppressWarnings(add_to(new_model()))
    again$load_weights(weights)
    expect_identical(again$get_weights(), model$get_weights())
  }
})

test_that("a layer that is made twice for its name warns once", {
  skip_if_no_keras()
  skip_without_functions()
  model <- new_model() |> layer_layer_normalization()
  py_keras()$utils$clear_session() # the next name is the one that the model holds
  said <- testthat::capture_warnings(
    layer_layer_normalization(model, gamma_regularizer = function(w) py_keras()$ops$sum(w))
  )
  expect_length(said, 1)
})
