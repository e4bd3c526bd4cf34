"""Faults are injected into every command, and then the same command must end as if nothing was.

After a signal, a full disk, a read-only folder or a second command at the same time, the same
command given again must leave the same results bit for bit. After damage to a file or a folder it
must do so too, or refuse in one line that names the file or folder and exit with status 1. Any
other outcome is a defect.

``doors.py`` has the commands, ``kinds.py`` the faults, ``process.py`` starts and ends commands,
``results.py`` reads the results that are compared.
"""
