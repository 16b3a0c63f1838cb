"""R: `bridge`, which the R package calls, and `embed`, which starts R in this process."""

from py_layernorm.r.embed import RError, layernorm_r

__all__ = ["RError", "layernorm_r"]
