test_that("every example runs", {
  skip_if_no_keras()
  path <- getNamespaceInfo("layernorm", "path")
  if (!file.exists(file.path(path, "Meta"))) skip("The package is not installed")
  expect_session_works() # Python runs, so the examples' own condition holds
  pages <- tools::Rd_db("layernorm", lib.loc = dirname(path))
  documented <- unlist(lapply(pages, function(page) {
    unlist(Filter(function(part) identical(attr(part, "Rd_tag"), "\\alias"), page))
  }))
  expect_setequal(documented, getNamespaceExports("layernorm"))
  for (page in pages) {
    script <- withr::local_tempfile(fileext = ".R")
    tools::Rd2ex(page, script)
    out <- utils::capture.output(source(script, local = new.env(), echo = FALSE))
    expect_true(any(grepl("^> ", out)), info = paste(readLines(script), collapse = "\n"))
  }
})

test_that("every page has a value, errors, an example and a source", {
  path <- getNamespaceInfo("layernorm", "path")
  if (!file.exists(file.path(path, "Meta"))) skip("The package is not installed")
  pages <- tools::Rd_db("layernorm", lib.loc = dirname(path))
  expect_gt(length(pages), 0)
  for (name in names(pages)) {
    page <- pages[[name]]
    tags <- vapply(page, function(part) attr(part, "Rd_tag"), "")
    expect_true(all(c("\\value", "\\examples", "\\references") %in% tags), info = name)
    sections <- page[tags == "\\section"]
    titles <- vapply(sections, function(part) paste(unlist(part[[1]]), collapse = ""), "")
    expect_true(any(startsWith(titles, "Errors")), info = name)
  }
})
