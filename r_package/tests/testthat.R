library(testthat)
library(layernorm)

test_check("layernorm")
