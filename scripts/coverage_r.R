# Measures which lines of the R package its tests run. Ends with status 1 below 100 %.
Sys.setenv(CI = "true") # a Python without the module is a failure, and no reason to skip tests

coverage <- covr::package_coverage("r_package", type = "tests", quiet = FALSE)
missed <- covr::zero_coverage(coverage)
percent <- covr::percent_coverage(coverage)
for (i in seq_len(nrow(missed))) {
  cat(sprintf("not run: %s:%d in %s()\n", missed$filename[i], missed$line[i], missed$functions[i]))
}
cat(sprintf("covr: %.2f %% of the R package's lines\n", percent))
if (nrow(missed) > 0 || is.nan(percent)) quit(status = 1)
