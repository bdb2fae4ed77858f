[playlist]
NumberOfEntries=2
File1=http://a.example/one
Title1=One
file2 = two.mp3
Version=2
