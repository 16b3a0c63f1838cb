current_engine <- function() py("__import__('py_layernorm.engines').engines.get_engine()")

test_that("a name alone sets the engine and gives the one before, invisibly", {
  skip_if_no_keras()
  withr::defer(use_engine("auto"))
  use_engine("auto")
  before <- withVisible(use_engine("portable"))
  expect_false(before$visible)
  expect_identical(before$value, "auto")
  expect_identical(current_engine(), "portable")
  expect_identical(get_engine(), "portable")
  expect_identical(use_engine("auto"), "portable")
})

test_that("code runs with the engine, which is set back afterwards", {
  skip_if_no_keras()
  use_engine("auto")
  expect_identical(use_engine("portable", current_engine()), "portable")
  expect_identical(current_engine(), "auto")
  expect_error(use_engine("portable", stop(current_engine())), "^portable$")
  expect_identical(current_engine(), "auto")
  expect_identical(
    use_engine("portable", c(use_engine("auto", current_engine()), current_engine())),
    c("auto", "portable")
  )
  expect_true(withVisible(use_engine("portable", 1))$visible)
})

test_that("after the code what held before it holds again, whatever the code chose", {
  skip_if_no_keras()
  withr::defer(use_engine("auto"))
  use_engine("auto")
  use_engine("portable", use_engine("fused"))
  expect_identical(current_engine(), "auto")
  use_engine("portable")
  use_engine("auto", use_engine("auto"))
  expect_identical(current_engine(), "portable")
})

test_that("a warning made an error within the code sets the engine back, too", {
  skip_if_no_keras()
  withr::local_options(warn = 2)
  expect_error(use_engine("portable", warning("stop here")), "stop here")
  expect_identical(current_engine(), "auto")
})
