# Runs the tests of the installed R package layernorm, or those whose file's name matches the
# argument. Ends with status 1 when one failed, or when none ran.
Sys.setenv(CI = "true") # a Python without the module is a failure, and no reason to skip tests
filter <- commandArgs(trailingOnly = TRUE)

results <- as.data.frame(testthat::test_dir(
  file.path("r_package", "tests", "testthat"),
  filter = if (length(filter)) filter,
  package = "layernorm",
  load_package = "installed",
  reporter = "summary",
  stop_on_failure = FALSE
))

failed <- results$failed > 0 | results$error
passed <- !failed & results$passed > 0
cat(sprintf(
  "testthat: %d passed, %d failed, %d skipped\n",
  sum(passed), sum(failed), sum(!failed & results$skipped)
))
if (!any(passed | failed)) message("testthat ran no test")
if (any(failed) || !any(passed)) quit(status = 1)
