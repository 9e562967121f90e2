# One process from the first start on: formats the node's storage if that has not happened, then becomes the broker.
set -eu
if [ ! -e "$NODE_DIR/data/meta.properties" ]; then
    "$JAVA" -XX:TieredStopAtLevel=1 -Dlog4j2.configurationFile="$LOGGING" -cp "$LIBS/*" \
        kafka.tools.StorageTool format -t "$CLUSTER_ID" -c "$NODE_DIR/server.properties"
fi
# shellcheck disable=SC2086 # the options are words
exec "$JAVA" $JAVA_OPTIONS -Dlog4j2.configurationFile="$LOGGING" -cp "$LIBS/*" \
    kafka.Kafka "$NODE_DIR/server.properties"
