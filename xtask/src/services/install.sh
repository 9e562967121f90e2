# Installs the Debian packages named as arguments, without letting them start their services.
#
# A package's own service would take the standard port of the machine and outlive us. `policy-rc.d` forbids the start
# while dpkg runs; whatever stood there before comes back at the end, however this script ends. A copy that is there
# already was left by a run that was killed: it is the original, so it is not overwritten.
set -eu
policy=/usr/sbin/policy-rc.d
original=$policy.before-holdfast

restore() {
    rm -f "$policy"
    if [ -e "$original" ]; then mv "$original" "$policy"; fi
}
trap restore EXIT
trap 'exit 130' INT TERM HUP

if [ -e "$policy" ] && [ ! -e "$original" ]; then mv "$policy" "$original"; fi
printf '#!/bin/sh\nexit 101\n' >"$policy"
chmod 755 "$policy"

export DEBIAN_FRONTEND=noninteractive
apt-get -o DPkg::Lock::Timeout=300 update -qq
apt-get -o DPkg::Lock::Timeout=300 install -qq --yes --no-install-recommends "$@" >/dev/null

# Nor shall they start with the next boot of a developer's machine.
if [ -d /run/systemd/system ]; then
    for unit in redis-server mariadb; do
        case " $* " in *" ${unit%-server}"*) systemctl disable --quiet "$unit" || true ;; esac
    done
fi
