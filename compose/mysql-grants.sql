-- Every test makes a database of its own.
GRANT ALL ON *.* TO 'holdfast'@'%';
