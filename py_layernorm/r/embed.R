# The functions that embed.py uses in the R that process.py starts. Objects pass between the
# languages through `post` in embed.py: reticulate passes them by reference and converts plain
# values.
local(
  {
    # The version of a package, "" if it is not installed.
    version <- function(package) {
      found <- nzchar(system.file(package = package))
      if (found) as.character(utils::packageVersion(package)) else ""
    }

    # Binds reticulate to the running Python, which was started as `program`. Returns "", or the
    # reason why it cannot.
    bind <- function(program) {
      tryCatch(
        {
          if (!reticulate::py_available()) fix_libpython(program)
          module <- function(convert) reticulate::import("py_layernorm.r.embed", convert = convert)
          the$post <- module(TRUE)$post
          the$as_is <- module(FALSE)$post
          suppressPackageStartupMessages(loadNamespace("layernorm"))
          ""
        },
        error = conditionMessage
      )
    }

    # reticulate expects Python's functions in a library. When they are in the program itself, it
    # can load it only by its full path, or if it is called "python".
    fix_libpython <- function(program) {
      name <- "main_process_python_info"
      found <- utils::getFromNamespace(name, "reticulate")()
      if (identical(found$libpython, program)) {
        found$libpython <- NA_character_ # the program itself
        utils::assignInNamespace(name, function() found, "reticulate")
      }
    }

    take <- function() the$post$take()
    take_as_is <- function() the$as_is$take()
    give <- function(value) the$post$give(value)

    # Gives the outcome of `.f(...)`: its value, or how it failed. Python warns immediately, so that
    # a warning that it turns into an error ends `.f` here, which then undoes its changes.
    call <- function(.f, ...) {
      outcome <- tryCatch(
        withCallingHandlers(
          list(value = .f(...)),
          warning = function(w) {
            the$post$warn(conditionMessage(w))
            invokeRestart("muffleWarning")
          }
        ),
        interrupt = function(e) list(interrupt = TRUE),
        python.builtin.BaseException = function(e) list(exception = e),
        error = function(e) list(error = conditionMessage(e), r_class = as.list(class(e)))
      )
      give(outcome)
    }

    # The functions that the R package exports, and how each is called.
    exports <- function() {
      names <- getNamespaceExports("layernorm")
      Map(get, sort(names), list(asNamespace("layernorm")))
    }
    usage <- function(f) paste(trimws(utils::head(deparse(args(f)), -1)), collapse = " ")

    # What R does when it ends, except for the finalizers.
    finish <- function() {
      last <- get0(".Last", globalenv(), mode = "function")
      if (!is.null(last)) try(last(), silent = TRUE)
      grDevices::graphics.off()
    }
    clean <- function() unlink(tempdir(), recursive = TRUE)

    the <- environment()
    mget(c(
      "version", "bind", "take", "take_as_is", "give", "call", "exports", "usage", "finish",
      "clean"
    ))
  },
  envir = new.env(parent = baseenv())
)
