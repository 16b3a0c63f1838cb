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

# A value, and what the message about it advises, with `x` for the argument's name.
advice <- list(
  "as.matrix() of factors" = list(as.matrix(iris), "makes of a data frame with a column that"),
  "numbers as characters" = list(matrix(c("1", "2")), "storage.mode(x) <- \"double\""),
  "a factor" = list(iris$Species, "model.matrix(~ x - 1)"),
  "a data frame" = list(iris[1:4], "Pass `as.matrix()` of it."),
  "a data frame with a factor" = list(iris, "its numeric columns. Not numeric: Species."),
  "a Date" = list(Sys.Date(), "matrix(as.numeric(x))"),
  "a time" = list(Sys.time(), "matrix(as.numeric(x))"),
  "a difference of times" = list(Sys.time() - Sys.time(), "matrix(as.numeric(x))"),
  "a complex matrix" = list(matrix(1i), "Pass `Re(x)` and `Im(x)`, or `Mod(x)`."),
  "a list of vectors" = list(list(1:2, c(3, 4)), "`do.call(rbind, x)`"),
  "a list of different lengths" = list(list(1, 2:3), "Convert it to a matrix first"),
  "an empty list" = list(list(), "Convert it to a matrix first"),
  "a function" = list(mean, "call it with `()`, and pass what it returns"),
  "raw bytes" = list(matrix(as.raw(1)), "array(as.integer(x), dim(x))"),
  "64-bit integers" = list(
    structure(matrix(0), class = "integer64"), "array(as.double(x), dim(x))"
  ),
  "an S4 object" = list(methods::getClass("numeric"), "Pass `as.matrix(x)`")
)

for (kind in names(advice)) {
  test_that(paste(kind, "comes with advice that fits"), {
    value <- advice[[kind]][[1]]
    text <- advice[[kind]][[2]]
    calls <- alist(
      object = layer_layer_normalization(value), object = compose_layer(value, NULL),
      x = layer_norm(value), x = as_r_array(value), gamma = layer_norm(matrix(1), value),
      beta = layer_norm(matrix(1), beta = value)
    )
    if (kind == "a complex matrix") calls[[4]] <- NULL # which as_r_array() returns
    for (i in seq_along(calls)) {
      arg <- names(calls)[i]
      error <- expect_error(eval(calls[[i]]), class = "layernorm_argument_error")
      said <- gsub(paste0("\\b", arg, "\\b"), "x", strsplit(conditionMessage(error), "\n")[[1]][3])
      expect_match(said, text, fixed = TRUE)
    }
  })
}

test_that("sparse matrices come with advice that fits", {
  skip_if_not_installed("Matrix")
  sparse <- Matrix::sparseMatrix(i = 1:2, j = 1:2, x = 1:2)
  message <- "Received: x = <a dgCMatrix of dim 2 x 2>\nSparse .* `as.matrix\\(x\\)`"
  expect_argument_error(layer_norm(sparse), message)
  expect_argument_error(as_r_array(sparse), message)
  dense <- Matrix::Matrix(1:6 + 0.5, 2, sparse = FALSE)
  expect_argument_error(layer_layer_normalization(dense), "Pass `as.matrix\\(x\\)`, if that holds")
})

test_that("the advice fits the argument", {
  expect_argument_error(layer_layer_normalization(-1), "write `axis = -1`")
  expect_argument_error(layer_layer_normalization(c(1, 2)), "matrix\\(x, nrow = 1\\)")
  expect_argument_error(layer_layer_normalization("m"), "keras\\$Sequential\\(\\)")
  expect_argument_error(layer_layer_normalization("a.keras"), "a file: .*load_model\\(\\)")
  expect_argument_error(layer_norm("m"), "Pass a matrix, an array or a tensor")
  expect_argument_error(layer_norm(iris$Length), "A name that does not exist gives NULL")
  expect_argument_error(as_r_array(NULL), "exist gives NULL after `\\$`")
  expect_argument_error(as_r_array("a"), "Pass a tensor, or numbers")
  expect_argument_error(accelerate(NULL), "exist gives NULL after `\\$`")
  expect_argument_error(accelerate("a.keras"), "a file: .*load_model\\(\\)")
  expect_argument_error(restore(mean), "call it with `\\(\\)`, and")
  expect_argument_error(restore(matrix(1)), "a double matrix of dim 1 x 1>\nPass what `keras")
  expect_argument_error(compose_layer(NULL, mean), "pass what it returns")
  expect_argument_error(
    layer_layer_normalization(gamma_initializer = function(n) n), "This is a function of \\(n\\)"
  )
})

test_that("lists of Python objects and objects without values come with advice that fits", {
  skip_if_no_keras()
  tensors <- list(py_keras()$ops$ones(2L), py_keras()$ops$ones(3L))
  shown <- "Received: x = <a list of length 2 with Python objects>\n"
  expect_argument_error(layer_norm(tensors), paste0(shown, "Pass one tensor at a time, .*Concat"))
  expect_argument_error(layer_layer_normalization(tensors), "one tensor at a time")
  expect_argument_error(as_r_array(tensors), paste0(shown, ".*`lapply\\(tensors, as_r_array\\)`"))
  expect_argument_error(accelerate(list(new_model())), "`lapply\\(models, accelerate\\)`")
  expect_argument_error(as_r_array(new_model()), "`x\\$get_weights\\(\\)`")
  expect_argument_error(as_r_array(reticulate::import("json")), "Pass a tensor, a NumPy array")
})

test_that("a Python object restored by readRDS says that it is dead", {
  skip_if_no_keras()
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
