# Checks the style of all R code with lintr. Ends with status 1 when it found something.
options(lintr.linter_file = normalizePath("r_package/.lintr"))

lints <- c(
  list(lintr::lint_package("r_package")),
  lapply(c("examples", "scripts", "benchmarks", "py_layernorm", "tests"), lintr::lint_dir)
)
for (found in lints) print(found)
if (sum(lengths(lints)) > 0) quit(status = 1)
