"""Judge every label of a data set: which labels are probably wrong, and what to do about them.

python audit.py data=image_folder data.root=FOLDER
python audit.py --help
"""

from __future__ import annotations

from labelnoise.doors.audit import main

if __name__ == "__main__":
    main()
