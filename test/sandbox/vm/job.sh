# job.sh - what is run inside: the keeper and the hostile suite as root with swap, without calls,
# without namespaces, with isolation off; rootless in a delegated cgroup; and the daemon.
uname -r
cat /sys/fs/cgroup/cgroup.controllers
cd "$TREE" || exit 1
failed=0

keeper() {
    echo "== keeper $1"
    timeout 600 "$BUILD/test/sandbox/test_keeper" "$1" "$BUILD/test/sandbox" >/tmp/out 2>&1 ||
        failed=1
    grep -vE 'RUN|OK \]|warn' /tmp/out
}

hostile() {
    echo "== hostile $1"
    timeout 900 "$BUILD/test/sandbox/test_hostile" "$1" "$BUILD/test/sandbox" \
        "$TREE/test/sandbox/hostile" >/tmp/out 2>&1 || failed=1
    grep -v '^ok' /tmp/out
}

# Swap, so that running out of memory by way of it is tried as well.
dd if=/dev/zero of=/swapfile bs=1M count=1024 2>/dev/null
chmod 600 /swapfile
mkswap /swapfile >/dev/null && swapon /swapfile
keeper root
for group in root denied bare none; do
    hostile $group
done
swapoff /swapfile
rm -f /swapfile
if [ -x "$TREE/.venv/bin/python" ]; then
    echo "== daemon"
    LAMBKIN_BIN=$BUILD/src/cli/lambkin timeout 900 "$TREE/.venv/bin/python" -m pytest -q \
        -p no:cacheprovider test/sandbox/test_isolation.py || failed=1
fi
# As systemd delegates a group to a user.
echo '+memory +cpu +pids +io' >/sys/fs/cgroup/cgroup.subtree_control
mkdir -p /sys/fs/cgroup/delegated
chown -R 65534:65534 /sys/fs/cgroup/delegated
echo $$ >/sys/fs/cgroup/delegated/cgroup.procs
keeper rootless
hostile rootless
hostile denied-rootless
exit $failed
