current_engine <- function() py("__import__('py_layernorm.engines').engines.get_engine()")

test_that("a name alone sets the engine and gives the one before, invisibly", {
  skip_if_no_py_layernorm()
  withr::defer(use_engine("auto"))
  use_engine("auto")
  before <- withVisible(use_engine("portable"))
  expect_false(before$visible)
  expect_identical(before$value, "auto")
  expect_identical(current_engine(), "portable")
  expect_identical(use_engine("auto"), "portable")
})

test_that("code runs with the engine, which is set back afterwards", {
  skip_if_no_py_layernorm()
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
