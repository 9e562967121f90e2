#!/bin/sh
# Makes what Holdfast signs and seals with, unless it is there: lost secrets make every sealed name unreadable.
# Each file is finished under another name, so that one that was cut short is made again.
set -eu
umask 077
cd "${1:-/keys}"

key() {
    openssl rand -base64 32 | tr '+/' '-_' | tr -d '=\n'
}

if [ ! -e jwt.pem ]; then
    openssl genpkey -algorithm ed25519 -out jwt.pem.unfinished
    mv jwt.pem.unfinished jwt.pem
fi
if [ ! -e secrets.json ]; then
    cat >secrets.json.unfinished <<EOF
{
  "version": 1,
  "wrapping_key": "$(key)",
  "email_hash_key": "$(key)",
  "fingerprint_key": "$(key)",
  "refresh_token_key": "$(key)",
  "opaque_token_key": "$(key)"
}
EOF
    mv secrets.json.unfinished secrets.json
fi

# Holdfast runs as this user in its image, and refuses files that others may read.
chown 10001:10001 jwt.pem secrets.json
