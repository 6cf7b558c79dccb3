# The ERP, as this package sees it: a table in a file, so that the example runs anywhere. In a
# package of your own these functions call your database or API, and nothing else changes.
erp_export() { cat data/suppliers.csv; }
erp_import() { cat >data/suppliers.csv.new && mv data/suppliers.csv.new data/suppliers.csv; }

# affected counts the suppliers whose tax id has a blank at its beginning or end.
affected() { awk -F, 'NR > 1 && $3 ~ /^ | $/ { n++ } END { print n + 0 }'; }
