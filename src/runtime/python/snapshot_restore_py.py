# snapshot_restore_py.py - where functions with SnapStart register what is to be called before their
# snapshot and after each restore.
#
# Has the interface of the package of that name. A function or a layer that brings the package
# itself is given its own: it stands in front of this one in the search path.

__all__ = ["register_before_snapshot", "register_after_restore"]

_before_snapshot = []
_after_restore = []


def register_before_snapshot(func, *args, **kwargs):
    """Called once, after INIT; the last registered first. Answers func, so it can decorate."""
    _before_snapshot.append((func, args, kwargs))
    return func


def register_after_restore(func, *args, **kwargs):
    """Called in each environment, ahead of its first invocation, in the order of registration."""
    _after_restore.append((func, args, kwargs))
    return func


# The runtime's side: the lists themselves.


def get_before_snapshot():
    return _before_snapshot


def get_after_restore():
    return _after_restore
