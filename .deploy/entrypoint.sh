#!/bin/sh
# Never as root: where the container begins as root (a volume that belongs to root, as Fly.io mounts it), the volume is given to
# the user sangha first. PostgreSQL and every ritual's sandbox run as that user.
set -eu
if [ "$(id -u)" = 0 ]; then
  install --directory --owner sangha --group sangha --mode 0700 "$SANGHA_DATA_DIR"
  exec setpriv --reuid sangha --regid sangha --init-groups -- sangha "$@"
fi
exec sangha "$@"
