for (row in bad_arguments) {
  label <- sprintf("%s(%s = %s) is an error", row$call, row$arg, row$received)
  test_that(label, {
    condition <- bad_condition(row)
    expect_s3_class(condition, "layernorm_argument_error")
    expect_identical(condition$arg, row$arg)
    lines <- strsplit(conditionMessage(condition), "\n")[[1]]
    expect_match(lines[1], sprintf("`%s` must be %s", row$arg, row$expected), fixed = TRUE)
    expect_identical(lines[2], sprintf("Received: %s = %s", row$arg, row$received))
    expect_match(lines[3], "^[A-Z].*[.;]$")
  })
}

test_that("wrong arguments are found before Python starts", {
  helper <- normalizePath(test_path("helper-bad_arguments.R"))
  out <- run_r(c(
    sprintf("source(%s)", deparse(helper)),
    "for (row in bad_arguments) {",
    "  if (!inherits(bad_condition(row), 'layernorm_argument_error')) print(row)",
    "}",
    "cat(length(bad_arguments), reticulate::py_available())"
  ))
  expect_identical(out, sprintf("%d FALSE", length(bad_arguments)))
})

test_that("an unnamed extra argument is an error that shows it", {
  expect_argument_error(
    layer_layer_normalization(
      NULL, -1, 0.1, TRUE, TRUE, "zeros", "ones", NULL, NULL, NULL, NULL, TRUE, NULL, "float16"
    ),
    "`[.]{3}` must be named arguments.*Received: [.]{3} = \"float16\""
  )
})

test_that("the advice fits what came", {
  expect_argument_error(layer_layer_normalization(-1), "write `axis = -1`")
  expect_argument_error(layer_layer_normalization(c(1, 2)), "matrix\\(x, nrow = 1\\)")
  expect_argument_error(layer_layer_normalization(iris), "`as.matrix\\(\\)`")
  expect_argument_error(layer_layer_normalization(matrix(1i)), "`Mod\\(\\)`")
  expect_argument_error(layer_layer_normalization(list(1)), "`Concatenate`")
  expect_argument_error(layer_layer_normalization("m"), "keras\\$Sequential\\(\\)")
  expect_argument_error(
    layer_layer_normalization(gamma_initializer = function(n) n), "a function of \\(n\\) now"
  )
})

test_that("a Python object restored by readRDS says that it is dead", {
  skip_if_no_py_layernorm()
  file <- withr::local_tempfile()
  saveRDS(list(layer = layer_layer_normalization(), model = new_model()), file)
  dead <- readRDS(file)
  message <- "must be a live Python object.*comes from another R session"
  expect_argument_error(layer_layer_normalization(dead$model), paste0("`object` ", message))
  expect_argument_error(compose_layer(new_model(), dead$layer), paste0("`layer` ", message))
  expect_argument_error(layer_norm(dead$model), paste0("`x` ", message))
  expect_argument_error(as_r_array(dead$model), paste0("`x` ", message))
  expect_argument_error(layer_layer_normalization(axis = dead$model), paste0("`axis` ", message))
  expect_session_works()
})
