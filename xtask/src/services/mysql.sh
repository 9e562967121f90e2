# One process from the first start on: creates the data directory if that has not happened, then becomes the server.
# The directory is made under another name first, so that one that was cut short is made again.
set -eu
if [ ! -e "$SERVER_DIR/data" ]; then
    rm -rf "$SERVER_DIR/unfinished"
    "$INSTALL_DB" --no-defaults --datadir="$SERVER_DIR/unfinished" --skip-test-db --innodb-flush-method=nosync "$@"
    mv "$SERVER_DIR/unfinished" "$SERVER_DIR/data"
fi
exec "$MARIADBD" --no-defaults --datadir="$SERVER_DIR/data" --init-file="$SERVER_DIR/init.sql" \
    --bind-address=127.0.0.1 --port="$PORT" --socket=mysql.sock --pid-file="$SERVER_DIR/pid" --skip-name-resolve \
    --character-set-server=utf8mb4 --max-connections=500 --innodb-flush-log-at-trx-commit=2 --skip-log-bin "$@"
