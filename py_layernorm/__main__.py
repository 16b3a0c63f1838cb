"""`python -m py_layernorm`: the doctor."""

import sys

from py_layernorm.doctor import main

sys.exit(main())
