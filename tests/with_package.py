"""pytest with the package of a folder in the place of the installed one.

python tests/with_package.py FOLDER [pytest's arguments]
"""

import sys

import pytest

if __name__ == "__main__":
    sys.meta_path[:] = [f for f in sys.meta_path if "editable" not in type(f).__module__]
    sys.path.insert(0, sys.argv[1])
    sys.exit(pytest.main(sys.argv[2:]))
