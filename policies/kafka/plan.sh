# Cluster `kafka`: lets Kastellan plan, and change nothing.
#   Describe         see users and ACLs
#   DescribeConfigs  see quotas
# An administrator's own login belongs into admin.properties, with security.protocol=SASL_PLAINTEXT.
kafka-acls.sh --bootstrap-server 'localhost:9092' --command-config admin.properties --add \
    --allow-principal 'User:kastellan' --cluster --operation Describe --operation DescribeConfigs
