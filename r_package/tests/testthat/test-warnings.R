# A warning can end a call in many ways. However it does, the model must be as it was.
ends <- list(
  "options(warn = 2)" = function(code) {
    withr::local_options(warn = 2)
    expect_error(code, "converted from warning")
  },
  "tryCatch(warning = )" = function(code) {
    expect_match(tryCatch(code, warning = conditionMessage), "compile it again|save_weights")
  },
  "a handler that stops" = function(code) {
    expect_error(withCallingHandlers(code, warning = function(w) stop("stopped")), "^stopped$")
  },
  "a restart" = function(code) {
    leave <- function(w) invokeRestart("leave")
    expect_identical(
      withRestarts(withCallingHandlers(code, warning = leave), leave = function() "left"), "left"
    )
  }
)

goes_on <- list(
  "options(warn = 0)" = function(code) {
    withr::local_options(warn = 0)
    expect_warning(code, "compile it again|save_weights")
  },
  "options(warn = 1)" = function(code) {
    withr::local_options(warn = 1)
    expect_warning(code, "compile it again|save_weights")
  },
  "suppressWarnings()" = suppressWarnings,
  "a handler that muffles" = function(code) {
    withCallingHandlers(code, warning = function(w) invokeRestart("muffleWarning"))
  }
)

compiled <- function(model) {
  model$compile("sgd", "mse")
  model
}

alterations <- list(
  "layer_layer_normalization() of a compiled model" = function(model) {
    layer_layer_normalization(compiled(model))
  },
  "layer_layer_normalization() with an R function" = function(model) {
    zeros <- function(shape, dtype) array(0, dim = unlist(shape))
    layer_layer_normalization(model, beta_initializer = zeros)
  },
  "compose_layer() of a compiled model" = function(model) {
    compose_layer(compiled(model), py_keras()$layers$ReLU())
  }
)

model_of_one_layer <- function() compose_layer(new_model(), py_keras()$layers$Dense(3L))

for (alteration in names(alterations)) {
  for (end in names(ends)) {
    test_that(sprintf("%s, ended by %s, leaves the model as it was", alteration, end), {
      skip_if_no_keras()
      model <- model_of_one_layer()
      weights <- vapply(model$weights, reticulate::py_id, "")
      ends[[end]](alterations[[alteration]](model))
      expect_identical(layer_names(model), "dense")
      expect_identical(vapply(model$weights, reticulate::py_id, ""), weights)
      expect_identical(dim(model$predict(numbers(5, 4), verbose = 0L)), c(5L, 3L))
      suppressWarnings(alterations[[alteration]](model))
      expect_length(model$layers, 2)
    })
  }
  for (way in names(goes_on)) {
    test_that(sprintf("%s, warning under %s, adds the layer", alteration, way), {
      skip_if_no_keras()
      model <- model_of_one_layer()
      goes_on[[way]](alterations[[alteration]](model))
      expect_length(model$layers, 2)
    })
  }
}
