#!/bin/sh
# Makes what Holdfast signs and seals with, unless it is there: lost secrets make every sealed name unreadable.
set -eu
umask 077
cd /keys
[ -s jwt.pem ] || openssl genpkey -algorithm ed25519 -out jwt.pem
[ -s secrets ] || openssl rand -base64 -out secrets 32
# Holdfast runs as this user in its image.
chown 10001:10001 jwt.pem secrets
