# What the R package adds to the same calls in Python, and to `library(reticulate)`.
#
# Rscript benchmarks/r_costs.R rows.jsonl
#
# Each pair is run in turns, so that both meet the same machine; each figure is a median. Both keep
# what the calls return until the turn is over, and garbage is collected before each turn: R would
# otherwise keep Python's objects longer than Python does.

turns <- 21
calls <- 10 # a turn
starts <- 11

milliseconds_a_call <- function(f) {
  kept <- vector("list", calls)
  start <- Sys.time()
  for (i in seq_len(calls)) kept[[i]] <- f()
  1000 * as.double(Sys.time() - start, units = "secs") / calls
}

# The median of `ours()`, of `peer()` and of their difference, each turn in the other order.
in_turns <- function(ours, peer, turns) {
  times <- vapply(
    seq_len(turns),
    function(turn) {
      times <- double(2)
      for (i in if (turn %% 2) 1:2 else 2:1) times[i] <- list(ours, peer)[[i]]()
      times
    },
    double(2)
  )
  c(
    ours = stats::median(times[1, ]),
    peer = stats::median(times[2, ]),
    difference = stats::median(times[1, ] - times[2, ])
  )
}

row <- function(name, peer, ours, peers, turns, limit, unit) {
  ours()
  peers() # both once for nothing, so that neither pays for what happens once
  times <- in_turns(ours, peers, turns)
  list(
    name = name, peer = peer, ours = times[["ours"]], peer_took = times[["peer"]],
    difference = times[["difference"]], limit = limit, unit = unit,
    ok = times[["difference"]] <= limit
  )
}

in_python <- function() {
  reticulate::py_run_string(
    "
import gc
import time
import keras
from py_layernorm import layer_layer_normalization

def milliseconds_a_call(f, calls):
    kept = []
    start = time.perf_counter()
    for _ in range(calls):
        kept.append(f())
    return 1000 * (time.perf_counter() - start) / calls

def create(calls):
    return milliseconds_a_call(lambda: layer_layer_normalization(axis=-1), calls)

def add(calls):
    model = keras.Sequential([keras.Input((4,))])
    return milliseconds_a_call(lambda: layer_layer_normalization(model), calls)

def call(calls):
    tensor = keras.Input((4,))
    return milliseconds_a_call(lambda: layer_layer_normalization(tensor), calls)
"
  )
}

call_rows <- function() {
  python <- in_python()
  keras <- reticulate::import("keras")
  create <- function() layer_layer_normalization(axis = -1)
  ours <- list(
    create = function() milliseconds_a_call(create),
    add = function() {
      model <- keras$Sequential(list(keras$Input(list(4L))))
      milliseconds_a_call(function() layer_layer_normalization(model))
    },
    call = function() {
      tensor <- keras$Input(list(4L))
      milliseconds_a_call(function() layer_layer_normalization(tensor))
    }
  )
  names <- c(
    create = "create a layer from R",
    add = "add one to a Sequential from R",
    call = "call one on a symbolic tensor from R"
  )
  lapply(names(ours), function(what) {
    clean <- function(f) {
      function() {
        gc(full = TRUE)
        python$gc$collect()
        f()
      }
    }
    peers <- function() python[[what]](as.integer(calls))
    row(names[[what]], "the same call in Python", clean(ours[[what]]), clean(peers), turns, 1, "ms")
  })
}

seconds_to_load <- function(package) {
  code <- sprintf(
    "start <- Sys.time(); library(%s); cat(as.double(Sys.time() - start, units = 'secs'))", package
  )
  rscript <- file.path(R.home("bin"), "Rscript")
  as.double(utils::tail(system2(rscript, c("-e", shQuote(code)), stdout = TRUE), 1))
}

load_row <- function() {
  ours <- function() seconds_to_load("layernorm")
  peers <- function() seconds_to_load("reticulate")
  row("library(layernorm)", "library(reticulate)", ours, peers, starts, 0.25, "s")
}

as_json <- function(row) {
  sprintf(
    paste0(
      "{\"name\": \"%s\", \"peer\": \"%s\", \"ours\": %.6g, \"peer_took\": %.6g, ",
      "\"difference\": %.6g, \"limit\": %.6g, \"unit\": \"%s\", \"ok\": %s}"
    ),
    row$name, row$peer, row$ours, row$peer_took, row$difference, row$limit, row$unit,
    if (row$ok) "true" else "false"
  )
}

as_line <- function(row) {
  sprintf(
    "%-38s %8.3f %8.3f %10.3f %6.2f %-2s  %s", row$name, row$ours, row$peer_took, row$difference,
    row$limit, row$unit, if (row$ok) "ok" else "TOO SLOW"
  )
}

main <- function(file) {
  library(layernorm)
  rows <- c(call_rows(), list(load_row()))
  writeLines(vapply(rows, as_json, ""), file)
  head <- sprintf("%-38s %8s %8s %10s %6s", "", "ours", "peer", "difference", "limit")
  writeLines(c(head, vapply(rows, as_line, "")))
}

file <- commandArgs(trailingOnly = TRUE)
if (length(file) != 1) stop("Usage: Rscript benchmarks/r_costs.R rows.jsonl")
main(file)
