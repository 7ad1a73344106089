import java.io.BufferedReader;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.InputStreamReader;
import java.io.OutputStream;
import java.io.PrintStream;
import java.lang.reflect.InvocationTargetException;
import java.util.Arrays;
import java.util.Base64;
import org.apache.kafka.common.utils.Exit;

/**
 * Apache Kafka's command line tools, one after another in one process: each line of the standard input is the full name of a class and
 * its arguments, with tabs between, and is answered by a line of its exit status and what it wrote to standard output and standard
 * error, both in base64.
 */
public final class Tools {
  private static final class Ended extends Error {}

  /** Scala keeps the System.out that it finds first: one for all tools, whose target changes. */
  private static final class Captured extends OutputStream {
    private ByteArrayOutputStream bytes = new ByteArrayOutputStream();

    @Override
    public synchronized void write(int one) {
      bytes.write(one);
    }

    @Override
    public synchronized void write(byte[] all, int from, int count) {
      bytes.write(all, from, count);
    }

    synchronized String take() {
      String text = Base64.getEncoder().encodeToString(bytes.toByteArray());
      bytes = new ByteArrayOutputStream();
      return text;
    }
  }

  private static Integer status;

  /** A tool that is told to end does not always get away: it may catch everything, and end once more. The first time counts. */
  private static void end(int with) {
    if (status == null) status = with;
    throw new Ended();
  }

  private static void run(String[] words) {
    status = null;
    try {
      Class.forName(words[0]).getMethod("main", String[].class).invoke(null, (Object) Arrays.copyOfRange(words, 1, words.length));
    } catch (InvocationTargetException failed) {
      if (!(failed.getCause() instanceof Ended)) {
        failed.getCause().printStackTrace();
        if (status == null) status = 1;
      }
    } catch (ReflectiveOperationException wrong) {
      wrong.printStackTrace();
      status = 1;
    }
    if (status == null) status = 0;
  }

  public static void main(String[] none) throws IOException {
    PrintStream answers = System.out;
    Captured out = new Captured();
    Captured err = new Captured();
    System.setOut(new PrintStream(out, true));
    System.setErr(new PrintStream(err, true));
    Exit.setExitProcedure((with, message) -> end(with));
    Exit.setHaltProcedure((with, message) -> end(with));
    BufferedReader lines = new BufferedReader(new InputStreamReader(System.in));
    for (String line = lines.readLine(); line != null; line = lines.readLine()) {
      run(line.split("\t", -1));
      System.out.flush();
      System.err.flush();
      answers.println(status + " " + out.take() + " " + err.take());
      answers.flush();
    }
  }
}
